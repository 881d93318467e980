"""Where a distribution has its mass, whatever it declares, and a bijection from the reals onto that set.

Torch and Pyro declare the reals for angles, whose density is periodic there, and for whatever ends in an affine transform.
On such a set a density has no normalizer: moves and weights would be those of another, or of no distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to, constraints
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import ComposeTransform, Transform

__all__ = ["from_reals", "inside", "is_angle", "is_discrete", "true_support"]

ANGLES = (torch.distributions.VonMises, dist.SineBivariateVonMises, dist.SineSkewed)
WRAPPERS = (torch.distributions.Independent, dist.MaskedDistribution, dist.ExpandedDistribution)
SIMPLEX_TOLERANCE = 1e-4  # of the sum of a draw in float32, which torch wants within 1e-6 of one


class Image(Constraint):
    """T_n(... T_1(S)): the values that transforms make of a set."""

    def __init__(self, base: Constraint, transforms: Sequence[Transform]) -> None:
        self.base, self.transforms = base, list(transforms)
        self.event_dim = ComposeTransform(self.transforms).codomain.event_dim
        super().__init__()

    def __repr__(self) -> str:
        names = " of ".join(type(each).__name__ for each in reversed(self.transforms))
        return f"{names} of {self.base}"

    def check(self, value: Tensor) -> Tensor:
        """Whether the transforms' inverse lies in the set, (*batch_shape)."""
        for transform in reversed(self.transforms):
            value = transform._inverse(value)  # not transform.inv(value), which would remember it
        return self.base.check(value)


@biject_to.register(Image)
def _onto_image(constraint: Image) -> Transform:
    return ComposeTransform([biject_to(constraint.base), *constraint.transforms])


def is_angle(fn: Distribution) -> bool:
    """Whether a distribution scores angles, any multiple of 2 pi apart alike.

    >>> is_angle(dist.VonMises(torch.zeros(3), 1.0).to_event(1))
    True
    """
    while isinstance(fn, WRAPPERS):
        fn = fn.base_dist
    return isinstance(fn, ANGLES)


def is_discrete(fn: Distribution) -> bool:
    """Whether a distribution is over values apart; one that declares no support is taken for a continuous one."""
    try:
        return bool(fn.support.is_discrete)
    except NotImplementedError:
        return False


def true_support(fn: Distribution) -> Constraint:
    """The set on which the density of ``fn`` integrates to one.

    Angles lie in [-pi, pi], a mixture where its components do, and what is transformed where the transforms put the base's
    own support; elsewhere it is ``fn.support``.

    Raises:
        NotImplementedError: the components of a mixture have supports of their own, or none is declared.

    >>> true_support(dist.VonMises(0.0, 1.0))
    Interval(lower_bound=-3.141592653589793, upper_bound=3.141592653589793)
    >>> true_support(dist.TransformedDistribution(dist.Exponential(1.0), [dist.transforms.AffineTransform(2.0, 1.0)]))
    AffineTransform of GreaterThanEq(lower_bound=0.0)
    """
    inner, event_dims = fn, 0
    while isinstance(inner, WRAPPERS):
        event_dims += getattr(inner, "reinterpreted_batch_ndims", 0)
        inner = inner.base_dist
    found = _own_support(inner)
    if found is None:
        return fn.support
    event_dims += len(inner.event_shape) - found.event_dim
    return constraints.independent(found, event_dims) if event_dims else found


def _own_support(fn: Distribution) -> Constraint | None:
    """The support of a distribution that declares another; None where what it declares is right."""
    if is_angle(fn):
        return constraints.interval(-math.pi, math.pi)
    if isinstance(fn, torch.distributions.MixtureSameFamily):
        found = true_support(fn.component_distribution)
        if not _is_shared(found):
            raise NotImplementedError("the components of the mixture have supports of their own")
        return found
    inherited = type(fn).support is torch.distributions.TransformedDistribution.support
    if isinstance(fn, torch.distributions.TransformedDistribution) and inherited and fn.transforms:
        base = true_support(fn.base_dist)
        onto = [base, *(each.domain for each in fn.transforms), *(each.codomain for each in fn.transforms[:-1])]
        return None if all(map(_is_real, onto)) else Image(base, fn.transforms)
    return None


def _is_real(constraint: Constraint) -> bool:
    while isinstance(constraint, constraints.independent):
        constraint = constraint.base_constraint
    return constraint is constraints.real


def _is_shared(constraint: Constraint) -> bool:
    """Whether a set has no parameter that differs from component to component."""
    parts = [*vars(constraint).values()]
    parts += [value for each in getattr(constraint, "transforms", ()) for value in vars(each).values()]
    inner = [part for part in parts if isinstance(part, Constraint)]
    return all(part.dim() == 0 for part in parts if isinstance(part, Tensor)) and all(map(_is_shared, inner))


def from_reals(fn: Distribution) -> Transform:
    """A bijection from the reals onto :func:`true_support`, but for sets of no mass.

    Raises:
        NotImplementedError: there is none, or the distribution has mass at single points, its ``atoms``.
    """
    if atoms := getattr(fn, "atoms", ()):
        raise NotImplementedError(f"it has mass at the points {', '.join(f'{atom:g}' for atom in atoms)}, no density")
    support = true_support(fn)
    transform: Transform = biject_to(support)
    if not transform.bijective:
        raise NotImplementedError(f"{transform} is no bijection")
    return transform


def inside(fn: Distribution, value: Tensor) -> Tensor | None:
    """Whether values lie in :func:`true_support`, (*batch_shape); None where every real does, or where that is not known.

    >>> inside(dist.Exponential(1.0), torch.tensor([-1.0, 1.0]))
    tensor([False,  True])
    """
    try:
        support = true_support(fn)
        if _is_real(support):
            return None
        if isinstance(support, type(constraints.simplex)):
            return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < SIMPLEX_TOLERANCE)
        return support.check(value)
    except NotImplementedError:
        return None
