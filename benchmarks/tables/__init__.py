"""Published tables beside this package's figures."""
