"""Guides of the adversarial family."""
