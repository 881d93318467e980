"""Pairs with several layers of latents."""
