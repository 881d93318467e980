"""Generative models of documents and sentences."""
