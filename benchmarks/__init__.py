"""Published tables of the VAE literature beside this package's figures: ``python -m benchmarks NAME``."""
