"""Gaussians about points that all data share."""

from __future__ import annotations

import pyro.distributions as dist

from pyrovae.distributions.density import innermost

__all__ = ["SharedNormal", "is_of_shared"]


class SharedNormal(dist.Normal):
    """N(loc, scale^2), (*batch_shape), whose loc is made of parameters with a prior of their own that many data share.

        log p(x | t) = log N(x; loc(t), scale^2),   t ~ p(t) once for all data

    ``log_prob``, in nats, is that given t. The evidence of one datum would be over t, too, which ties it to all others: it is
    refused.
    """


def is_of_shared(fn: dist.TorchDistribution) -> bool:
    """Whether a distribution is one of parameters that all data share.

    >>> is_of_shared(SharedNormal(0.0, 1.0).expand([3]).to_event(1)), is_of_shared(dist.Normal(0.0, 1.0))
    (True, False)
    """
    return isinstance(innermost(fn), SharedNormal)
