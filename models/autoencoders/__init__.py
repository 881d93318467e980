"""Generative models of the autoencoder family."""
