"""Recipes of pairs whose objective has a discriminator."""
