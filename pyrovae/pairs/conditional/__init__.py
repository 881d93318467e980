"""Pairs given a condition."""
