"""Guides of sequences."""
