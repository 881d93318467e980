"""Guides given a condition."""
