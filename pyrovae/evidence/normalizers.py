"""What an estimate of log Z does to an estimate of log p(x): its error is added, and the side may be lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from pyrovae.core.admission import Admission, run_alone
from pyrovae.core.inference import inference
from pyrovae.core.pair import Pair
from pyrovae.distributions.rbm import LogNormalizer

__all__ = ["combined_side", "common_error", "normalizers_of"]

OPPOSITE = {"exact": "exact", "lower": "upper", "upper": "lower", "estimate": "estimate"}


def normalizers_of(pair: Pair, batches: Iterable[Mapping[str, Tensor]]) -> dict[str, LogNormalizer]:
    """log Z of each site of the model whose distribution has a ``log_normalizer()``, as it is in evaluation mode."""
    batch = Admission(pair)(next(iter(batches)))
    with inference(pair, seed=0), torch.no_grad():
        sites = run_alone(pair.model, pair.guide, batch).model_sites  # replayed: the model may only be one to score
        found = {name: getattr(_innermost(site["fn"]), "log_normalizer", None) for name, site in sites.items()}
        return {name: log_normalizer() for name, log_normalizer in found.items() if log_normalizer is not None}


def _innermost(fn: Any) -> Any:
    while hasattr(fn, "base_dist") and not hasattr(fn, "log_normalizer"):
        fn = fn.base_dist
    return fn


def combined_side(bound: str, normalizers: Mapping[str, LogNormalizer]) -> str:
    """The side of log p(x) on which a method's value lies when estimates of log Z are subtracted.

    >>> combined_side("lower", {"z": LogNormalizer(25.15, 0.01, "lower")})  # a low log Z makes log p(x) high
    'estimate'
    """
    sides = {bound, *(OPPOSITE[each.side] for each in normalizers.values())} - {"exact"}
    return (sides.pop() if len(sides) == 1 else "estimate") if sides else "exact"


def common_error(normalizers: Mapping[str, LogNormalizer]) -> float:
    """Standard error of log p(x) that all data share, in nats: the root of the sum of squares over the sites."""
    return math.hypot(*(each.stderr for each in normalizers.values()))
