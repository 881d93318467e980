"""Discrete sites summed out where ``pyro.markov`` gives one dimension to several of them, in turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import opt_einsum
import torch
from torch import Tensor

from pyrovae.core.sites import Site

__all__ = ["recycles", "sum_out"]


def recycles(sites: Mapping[str, Site]) -> bool:
    """Whether two enumerated sites have one dimension, so that their scores cannot be added up by broadcasting."""
    dims = [site["infer"]["_enumerate_dim"] for site in sites.values() if "_enumerate_dim" in site["infer"]]
    return len(dims) > len(set(dims))


def sum_out(scores: Mapping[str, Tensor], sites: Mapping[str, Site], shape: tuple[int, ...]) -> Tensor:
    """log sum over all enumerated values of exp(sum of the scores), (K, B).

    Where sites share dimensions, one site after the other is eliminated, as in an HMM's forward algorithm.

    Args:
        scores: (..., K, B) of each site, what is enumerated left of (K, B).
        sites: the same sites, whose ``infer`` says which dimension is whose.
        shape: (K, B).
    """
    if not recycles({name: sites[name] for name in scores}):
        total = sum(scores.values(), torch.zeros(()))
        return total.flatten(0, -3).logsumexp(0) if total.dim() > 2 else total.expand(shape)
    operands, names = [], []
    right = len(shape)
    for name, score in scores.items():
        score, ids = score.expand(*score.shape[:-right], *shape), sites[name]["infer"].get("_dim_to_id", {})
        used = [dim for dim in range(-score.dim(), -right) if score.shape[dim] > 1]
        kept = score.reshape(*[score.shape[dim] for dim in used], *shape)
        operands.append(kept)
        names.append([*(right + ids[dim] for dim in used), *range(right)])
    equation = ",".join(_letters(each) for each in names) + "->" + _letters(range(right))
    eliminated: Tensor = opt_einsum.contract(equation, *operands, backend="pyro.ops.einsum.torch_log")
    return eliminated


def _letters(symbols: Iterable[int]) -> str:
    return "".join(opt_einsum.get_symbol(symbol) for symbol in symbols)
