"""Models of sets and of functions."""
