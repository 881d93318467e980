"""Means of sites, so that a program runs without chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro.distributions import OneHotCategorical, TorchDistribution
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from pyrovae.core.sites import Site
from pyrovae.distributions.density import is_factor, unmasked
from pyrovae.errors import ContractError

__all__ = ["Expectations", "expectation", "factors", "most_probable", "observed_sites", "picture_site"]


MEAN_DRAWS = 64  # for the mean of a distribution that has no closed one


class Expectations(Messenger):
    """Sites that would be drawn hold the mean of their distribution, so that a program runs without chance."""

    def _pyro_sample(self, msg: Any) -> None:
        if not (msg["done"] or msg["is_observed"] or site_is_subsample(msg)):
            msg["value"], msg["done"] = expectation(msg["fn"]), True


def expectation(fn: TorchDistribution) -> Tensor:
    """E[v], v ~ fn: in closed form, else the mean of 64 draws; the mode of what has no mean (labels).

    >>> import pyro.distributions as dist
    >>> expectation(dist.Normal(torch.tensor([1.0, 2.0]), 1.0)), expectation(dist.Categorical(torch.tensor([0.2, 0.8])))
    (tensor([1., 2.]), tensor(1))
    """
    if isinstance(fn, OneHotCategorical):
        return fn.mode
    try:
        value = fn.mean
    except NotImplementedError:
        return fn.sample(torch.Size([MEAN_DRAWS])).mean(0)
    return fn.mode if value.isnan().all() else value


def most_probable(fn: TorchDistribution, weights: Tensor) -> Tensor | None:
    """argmax_v sum_k w_k p_k(v), (B, *event), of whole numbers that are names and have no mean; None of other distributions.

    Args:
        fn: K x B distributions.
        weights: w, (K, B).

    >>> import pyro.distributions as dist
    >>> both = dist.Categorical(torch.tensor([[[0.9, 0.1]], [[0.4, 0.6]]]))
    >>> most_probable(both, torch.tensor([[0.1], [0.9]]))
    tensor([1])
    """
    inner = unmasked(fn)
    while hasattr(inner, "reinterpreted_batch_ndims"):
        inner = inner.base_dist
    if not isinstance(inner, torch.distributions.Categorical):
        return None
    weights = weights.reshape(*weights.shape, *[1] * (inner.probs.dim() - weights.dim()))
    found: Tensor = (weights * inner.probs).sum(0).argmax(-1)
    return found


def factors(fn: TorchDistribution) -> TorchDistribution | None:
    """The scalar distributions whose product a site is, its event's shape in their batch shape; None where it is no product.

    >>> import pyro.distributions as dist
    >>> factors(dist.Normal(torch.zeros(5, 3), 1.0).to_event(1)).batch_shape
    torch.Size([5, 3])
    """
    while hasattr(fn, "reinterpreted_batch_ndims"):
        fn = fn.base_dist
    return fn if len(fn.event_shape) == 0 else None


def picture_site(sites: Mapping[str, Site]) -> str:
    """The observed site that pictures show: x where there is one, else the first."""
    observed = observed_sites(sites)
    if not observed:
        raise ContractError(f"the model observes nothing (its sites are {', '.join(sites)}); give a site obs=x.")
    return "x" if "x" in observed else observed[0]


def observed_sites(sites: Mapping[str, Site]) -> list[str]:
    """Names of the sites that are observed, or were before they were drawn; factors are none."""
    told = {name: site["is_observed"] or site["infer"].get("was_observed") for name, site in sites.items()}
    return [name for name, site in sites.items() if told[name] and not is_factor(site["fn"])]
