"""Pairs with a class, or for classifying."""
