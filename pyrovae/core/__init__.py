"""What every room above stands on: a pair, its traces, the contract, and the context in which programs infer."""
