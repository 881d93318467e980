"""What a distribution is: a density, a point, a product of which a part is scored."""

from __future__ import annotations

import copy

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyrovae.errors import ContractError

__all__ = [
    "MaskedPart",
    "innermost",
    "is_density",
    "is_factor",
    "is_only_drawn",
    "is_point",
    "log_density",
    "mask_distribution",
    "unmasked",
]

IMPROPER = (dist.ImproperUniform, dist.Unit)  # which score without a normalizer


def innermost(fn: TorchDistribution) -> TorchDistribution:
    """The distribution under what reshapes, masks or makes events of it."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


def is_density(fn: TorchDistribution) -> bool:
    """Whether a distribution's ``log_prob`` is the logarithm of a density or mass; that of a point (``Delta``) is not.

    >>> from pyrovae.distributions import GreyBernoulli
    >>> is_density(GreyBernoulli(torch.zeros(3)).to_event(1)), is_density(dist.Normal(0, 1))
    (False, True)
    """
    fn = innermost(fn)
    return getattr(fn, "is_density", not (is_point(fn) or isinstance(fn, IMPROPER) or is_only_drawn(fn)))


def is_only_drawn(fn: TorchDistribution) -> bool:
    """Whether a distribution has no ``log_prob`` of its own, as a sampler that somebody wrote as one.

    >>> is_only_drawn(dist.Normal(0, 1))
    False
    """
    return getattr(type(innermost(fn)), "log_prob", None) is torch.distributions.Distribution.log_prob


def is_point(fn: TorchDistribution) -> bool:
    """Whether all mass is at one point, as that of a deterministic encoder.

    >>> is_point(dist.Delta(torch.zeros(3)).to_event(1))
    True
    """
    return isinstance(innermost(fn), dist.Delta)


class _SupportWhere(constraints.Constraint):
    """A support that holds where a mask is true."""

    def __init__(self, support: constraints.Constraint, mask: Tensor) -> None:
        self.base, self.mask = support, mask
        self.is_discrete = support.is_discrete

    def check(self, value: Tensor) -> Tensor:
        return self.base.check(value) | ~self.mask

    def __repr__(self) -> str:
        return repr(self.base)


class MaskedPart(dist.MaskedDistribution):
    """Pyro's, whose support leaves open what a value is where it is not scored."""

    def __init__(self, base_dist: TorchDistribution, mask: Tensor) -> None:
        super().__init__(base_dist, mask)
        self._validate_args = base_dist._validate_args
        self.base_dist = copy.copy(self.base_dist)
        self.base_dist._validate_args = False  # it would refuse values that are not scored

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> MaskedPart:
        """The same distribution with this batch shape."""
        return super().expand(batch_shape, self._get_checked_instance(MaskedPart, _instance))

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Where the density is not zero, of the values that are scored."""
        return _SupportWhere(self.base_dist.support, self._mask)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value) where the mask is true and 0 elsewhere, in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        return super().log_prob(value)


def log_density(fn: TorchDistribution, value: Tensor) -> Tensor:
    """``fn.log_prob(value)``, 0 of what is only drawn; NotImplementedError where it scores only draws of its own."""
    if is_only_drawn(fn):
        return value.new_zeros(torch.broadcast_shapes(value.shape[: value.dim() - fn.event_dim], fn.batch_shape))
    try:
        scores: Tensor = fn.log_prob(value)
    except KeyError as error:  # Pyro's transforms without an inverse look for the draw in a cache
        if "intermediates cache" not in str(error):
            raise
        raise NotImplementedError(f"a transform of {type(fn).__name__} has no inverse") from error
    return scores


def unmasked(fn: TorchDistribution) -> TorchDistribution:
    """The distribution without the masks on it, which draws the same.

    >>> unmasked(dist.Normal(torch.zeros(2), 1.0).mask(torch.tensor([True, False])).to_event(1)).log_prob(torch.zeros(2))
    tensor(-1.8379)
    """
    if isinstance(fn, dist.MaskedDistribution):
        return unmasked(fn.base_dist)
    if isinstance(fn, torch.distributions.Independent):
        inner = unmasked(fn.base_dist)
        return fn if inner is fn.base_dist else inner.to_event(fn.reinterpreted_batch_ndims)
    return fn


def is_factor(fn: TorchDistribution) -> bool:
    """Whether a site is ``pyro.factor``: a term of the log density that belongs to no variable.

    >>> is_factor(dist.Unit(torch.zeros(3)))
    True
    """
    return isinstance(innermost(fn), dist.Unit)


def mask_distribution(fn: TorchDistribution, mask: Tensor) -> TorchDistribution:
    """The distribution of a datum of independent values, scored only where ``mask`` is true, in nats, (B,).

        log p(x_observed) = sum over observed i of log p(x_i)

    Args:
        fn: a product over the dimensions of its event, made with ``to_event``.
        mask: (B, *event).

    >>> normal = dist.Normal(torch.zeros(2, 3), 1.0).to_event(1)
    >>> mask_distribution(normal, torch.tensor([[True, False, True], [False] * 3])).log_prob(torch.zeros(2, 3))
    tensor([-1.8379,  0.0000])
    """
    if not isinstance(fn, torch.distributions.Independent) or fn.base_dist.event_shape:
        raise ContractError(
            f"a mask needs a distribution that is a product over the values of a datum, made with .to_event; {fn} is none."
        )
    return MaskedPart(fn.base_dist, mask.bool()).to_event(fn.reinterpreted_batch_ndims)
