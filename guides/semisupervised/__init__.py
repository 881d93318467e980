"""Guides with a class."""
