"""A run on one page."""

from pyrovae.report.page import pictures, write_report

__all__ = ["pictures", "write_report"]
