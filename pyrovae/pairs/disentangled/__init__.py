"""Pairs whose objective asks for independent latents."""
