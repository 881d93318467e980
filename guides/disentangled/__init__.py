"""Latents that are to stand for factors of variation."""
