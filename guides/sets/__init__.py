"""Posteriors of sets and of functions."""
