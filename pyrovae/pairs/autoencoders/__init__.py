"""Autoencoders: deterministic, linear, sparse, contractive and denoising ones."""
