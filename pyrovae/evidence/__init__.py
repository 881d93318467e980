"""Estimates of the evidence log p(x), per datum, with errors, for any pair."""

from pyrovae.evidence.estimate import METHODS, log_evidence
from pyrovae.evidence.evidence import Evidence

__all__ = ["METHODS", "Evidence", "log_evidence"]
