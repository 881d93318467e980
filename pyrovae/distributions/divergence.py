"""KL divergences in closed form, but for those that torch has wrong."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

__all__ = ["WRONG", "analytic_kl"]

# q, p and what torch's KL(q || p) gives, by Monte Carlo over all that is registered
WRONG: tuple[tuple[type, type, str], ...] = (
    (torch.distributions.ContinuousBernoulli, torch.distributions.Uniform, "inf for a finite one"),
    (torch.distributions.Uniform, torch.distributions.ContinuousBernoulli, "inf for a finite one"),
    (dist.FoldedDistribution, torch.distributions.TransformedDistribution, "that of the distributions before the fold"),
    (torch.distributions.TransformedDistribution, dist.FoldedDistribution, "that of the distributions before the fold"),
    (dist.MaskedDistribution, torch.distributions.Distribution, "zero where either is masked"),
    (torch.distributions.Distribution, dist.MaskedDistribution, "zero where either is masked"),
)


def analytic_kl(q: Distribution, p: Distribution) -> Tensor:
    """KL(q || p) in closed form, in nats, (*batch_shape).

    Raises:
        NotImplementedError: torch has none, or has it wrong.

    >>> analytic_kl(dist.Normal(torch.ones(2), 1.0).to_event(1), dist.Normal(torch.zeros(2), 1.0).to_event(1))
    tensor(1.)
    """
    inner = (_inside_event(q), _inside_event(p))
    for first, second, gives in WRONG:
        if isinstance(inner[0], first) and isinstance(inner[1], second):
            names = " || ".join(type(each).__name__ for each in inner)
            raise NotImplementedError(f"torch's KL({names}) is {gives}")
    kl: Tensor = kl_divergence(q, p)
    return kl


def _inside_event(fn: Distribution) -> Distribution:
    while isinstance(fn, (torch.distributions.Independent, dist.ExpandedDistribution)):
        fn = fn.base_dist
    return fn
