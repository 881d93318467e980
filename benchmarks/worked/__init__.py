"""Worked examples: scripts that open as notebooks."""
