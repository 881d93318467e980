"""Guides of documents and sentences."""
