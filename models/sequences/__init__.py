"""Generative models of sequences."""
