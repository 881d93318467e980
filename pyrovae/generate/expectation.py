"""Means of sites, so that a program runs without chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pyro.distributions import OneHotCategorical, TorchDistribution
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.nn.functional import one_hot

from pyrovae.core.sites import Site
from pyrovae.distributions import Columns, Ordinal, Sentences, VonMisesFisher
from pyrovae.distributions.density import is_factor, unmasked
from pyrovae.errors import ContractError

__all__ = [
    "Expectations",
    "expectation",
    "factors",
    "has_names",
    "linear_means",
    "observed_sites",
    "picture_site",
    "values_of",
]


MEAN_DRAWS = 64  # for the mean of a distribution that has no closed one


class Expectations(Messenger):
    """Sites that would be drawn hold the mean of their distribution, so that a program runs without chance."""

    def _pyro_sample(self, msg: Any) -> None:
        if not (msg["done"] or msg["is_observed"] or site_is_subsample(msg)):
            msg["value"], msg["done"] = expectation(msg["fn"]), True


def expectation(fn: TorchDistribution) -> Tensor:
    """E[v], v ~ fn: in closed form, else the mean of 64 draws; the mode of what has no mean (labels, directions).

    >>> import pyro.distributions as dist
    >>> expectation(dist.Normal(torch.tensor([1.0, 2.0]), 1.0)), expectation(dist.Categorical(torch.tensor([0.2, 0.8])))
    (tensor([1., 2.]), tensor(1))
    """
    if isinstance(fn, OneHotCategorical | VonMisesFisher):
        return fn.mode
    try:
        value = fn.mean
    except NotImplementedError:
        return fn.sample(torch.Size([MEAN_DRAWS])).mean(0)
    return fn.mode if value.isnan().all() else value


def linear_means(fn: TorchDistribution) -> list[Tensor]:
    """What may be averaged over draws of the latents: of each column of a table, or of x as a whole, the mean, (..., *event).

    Names, which have no mean (categories, ordered levels), give their probabilities, (..., *event, C); sentences the words of
    their mode as such, so that an average is a vote at each word.
    """
    return [expectation(part) if (probs := _probabilities(part)) is None else probs for part in _columns(fn)]


def values_of(fn: TorchDistribution, means: Sequence[Tensor]) -> Tensor:
    """The values that averages of :func:`linear_means` stand for, (B, *event): of names the most probable one.

    >>> import pyro.distributions as dist
    >>> both = dist.Categorical(torch.tensor([[[0.9, 0.1]], [[0.4, 0.6]]]))
    >>> values_of(both, [(torch.tensor([[[0.1]], [[0.9]]]) * both.probs).sum(0)])
    tensor([1])
    """
    values = []
    for part, mean in zip(_columns(fn), means, strict=True):
        inner = _bare(part)
        value = mean if _probabilities(part) is None else mean.argmax(-1)
        values.append(value * (inner.top / (inner.levels - 1)) if isinstance(inner, Ordinal) else value)
    return torch.stack([value.to(torch.float32) for value in values], -1) if isinstance(_bare(fn), Columns) else values[0]


def has_names(fn: TorchDistribution) -> bool:
    """Whether some of the values are names: categories or ordered levels, between which there is no distance."""
    return any(_probabilities(part) is not None for part in _columns(fn))


def _bare(fn: TorchDistribution) -> TorchDistribution:
    """The distribution under masks and reshapes."""
    inner = unmasked(fn)
    while hasattr(inner, "reinterpreted_batch_ndims"):
        inner = inner.base_dist
    return inner


def _columns(fn: TorchDistribution) -> Sequence[TorchDistribution]:
    inner = _bare(fn)
    return inner.parts if isinstance(inner, Columns) else [fn]


def _probabilities(fn: TorchDistribution) -> Tensor | None:
    inner = _bare(fn)
    if isinstance(inner, Ordinal):
        return inner.log_probs.exp()
    if isinstance(inner, Sentences):
        return one_hot(inner.mode, inner.num_names).float()
    return inner.probs if isinstance(inner, torch.distributions.Categorical) else None


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
