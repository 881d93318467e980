"""Latents that are discrete."""
