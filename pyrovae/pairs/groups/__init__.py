"""Pairs of data that know of one another: neighbours, entries of a table."""
