"""Generative models with several layers of latents."""
