"""Generative models of one latent vector."""
