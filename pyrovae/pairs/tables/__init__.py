"""Pairs of tables and of counts."""
