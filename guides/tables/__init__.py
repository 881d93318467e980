"""Guides of tables and of counts."""
