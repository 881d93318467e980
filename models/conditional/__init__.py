"""Generative models given a condition."""
