"""Estimates of the evidence log p(x), per datum, with errors, for any pair."""

from pyrovae.evidence.evidence import Evidence
from pyrovae.evidence.importance import log_evidence

__all__ = ["Evidence", "log_evidence"]
