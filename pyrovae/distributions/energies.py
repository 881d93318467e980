"""Scores that are no densities: the energy of grey pixels, and the prior of a deterministic autoencoder."""

from __future__ import annotations

import copy
import functools

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyrovae.errors import ContractError

__all__ = ["Flat", "GreyBernoulli", "as_energy", "between"]


class GreyBernoulli(dist.Bernoulli):
    """Cross-entropy of grey x in [0, 1], (*batch_shape), in nats: an energy, **not** a density, since it has no normalizer.

        -energy(x) = x log p + (1 - x) log(1 - p)

    It trains, and is what many published "Bernoulli" figures on grey pixels used; estimators of log p(x) refuse it.
    """

    is_density = False
    support = constraints.unit_interval

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(logits=logits, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> GreyBernoulli:
        """The same distribution with this batch shape."""
        return GreyBernoulli(self.logits.expand(batch_shape), validate_args=False)


def between(support: constraints.Constraint) -> constraints.Constraint | None:
    """The values between those of a discrete support, on which its formula still is an energy; None for other supports.

    >>> between(constraints.boolean)
    Interval(lower_bound=0.0, upper_bound=1.0)
    """
    if support is constraints.boolean:
        return constraints.unit_interval
    if support is constraints.one_hot:
        return constraints.simplex
    if isinstance(support, type(constraints.integer_interval(0, 1))):
        return constraints.interval(support.lower_bound, support.upper_bound)
    if isinstance(support, type(constraints.nonnegative_integer)):
        return constraints.greater_than_eq(support.lower_bound)
    return None


def as_energy(fn: TorchDistribution) -> TorchDistribution:
    """A discrete distribution that is given values between those of its support: its formula, as an energy and no density.

    >>> as_energy(dist.Bernoulli(torch.tensor([0.5]), validate_args=False).to_event(1)).base_dist.is_density
    False
    """
    if isinstance(fn, torch.distributions.Independent):
        return as_energy(fn.base_dist).to_event(fn.reinterpreted_batch_ndims)
    if isinstance(fn, dist.MaskedDistribution):
        return as_energy(fn.base_dist).mask(fn._mask)
    energy = copy.copy(fn)
    energy.__class__ = _energy_class(type(fn))
    return energy


@functools.cache
def _energy_class(family: type) -> type:
    """The family with a support of all values between its own, and no density."""
    own = family.__dict__.get("support", family.support)
    support = property(lambda fn: between(own.__get__(fn, family) if isinstance(own, property) else own))
    return type(family.__name__, (family,), {"is_density": False, "support": support, "__module__": family.__module__})


class Flat(TorchDistribution):
    """**No** prior, as of a deterministic autoencoder: nothing can be drawn from it; ``log_prob`` is in nats, (*batch_shape).

        log p(z) = 0   for all z in R^d

    Args:
        like: a tensor of z's shape, (d,).

    >>> Flat(torch.zeros(2)).log_prob(torch.randn(5, 3, 2)).shape
    torch.Size([5, 3])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real_vector
    is_density = False

    def __init__(self, like: Tensor) -> None:
        super().__init__(torch.Size(), like.shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Flat:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(Flat, _instance)
        super(Flat, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """Zero, (*batch_shape)."""
        return value.new_zeros(torch.broadcast_shapes(value.shape[:-1], self.batch_shape))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Refused: there is nothing to draw from."""
        raise ContractError(
            "the model has no prior of its latent site (a deterministic autoencoder), so nothing can be drawn from it: "
            "reconstruct data or interpolate between them, or build the pair with relax=0.1, which gives it the prior N(0, I)."
        )
