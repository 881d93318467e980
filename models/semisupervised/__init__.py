"""Generative models with a class."""
