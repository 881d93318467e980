"""Benchmarks of pyrovae: ``python -m benchmarks list | run NAME | table NAME``."""
