"""Generative models of tables and of counts."""
