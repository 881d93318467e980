"""Guides with several layers of latents."""
