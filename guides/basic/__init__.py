"""Guides of one latent vector."""
