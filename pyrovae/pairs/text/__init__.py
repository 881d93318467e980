"""Pairs of documents and sentences."""
