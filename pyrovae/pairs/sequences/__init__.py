"""Pairs of sequences."""
