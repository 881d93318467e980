"""Models of data that know of one another."""
