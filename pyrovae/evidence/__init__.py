"""Estimates of the evidence log p(x), per datum, with errors, for any pair."""

from pyrovae.evidence.ais import AIS, SMC
from pyrovae.evidence.bidirectional import BDMC, bdmc
from pyrovae.evidence.bridge import Bridge
from pyrovae.evidence.decomposition import Gaps, gaps
from pyrovae.evidence.estimate import METHODS, log_evidence
from pyrovae.evidence.evidence import Evidence
from pyrovae.evidence.exact import Exact
from pyrovae.evidence.fivo import FIVO
from pyrovae.evidence.importance import Importance

__all__ = [
    "AIS",
    "BDMC",
    "FIVO",
    "METHODS",
    "SMC",
    "Bridge",
    "Evidence",
    "Exact",
    "Gaps",
    "Importance",
    "bdmc",
    "gaps",
    "log_evidence",
]
