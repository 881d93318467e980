"""Pairs of one latent vector."""
