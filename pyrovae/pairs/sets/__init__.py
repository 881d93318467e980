"""Pairs of sets: points, functions, data that come together in no order."""
