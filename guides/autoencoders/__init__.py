"""Guides of the autoencoder family."""
