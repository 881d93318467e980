"""Walks in the sets that latents live in: all vectors, unit vectors, the Poincare ball."""

from __future__ import annotations

import torch
from pyro.distributions import constraints
from torch import Tensor
from torch.distributions.constraints import Constraint

from pyrovae.distributions import onto_sphere
from pyrovae.distributions.hyperbolic import from_origin, mobius_add, poincare_ball, to_origin
from pyrovae.errors import OptionError

__all__ = ["default_values", "path", "with_coordinate"]


def default_values(support: Constraint) -> Tensor:
    """What a coordinate is set to in a traversal: 11 values, from -3 to 3, of unit vectors from -1 to 1."""
    return torch.arange(-5, 6) * (0.2 if support is constraints.sphere else 0.6)


def with_coordinate(support: Constraint, center: Tensor, i: int, values: Tensor, site: str) -> Tensor:
    """A vector, (d,), with its i-th coordinate set to each of n values, (n, d).

    The other coordinates of a unit vector give way together; those of the ball are those of the tangent space of its origin.

    Raises:
        OptionError: no vector of the set has such a coordinate.
    """
    is_sphere, is_ball = support is constraints.sphere, support is poincare_ball
    walk = (to_origin(center) if is_ball else center).repeat(len(values), 1)
    if is_sphere:
        if bool((values.abs() > 1).any()):
            raise OptionError(
                f"values is {values.tolist()}; site {site!r} is a unit vector, whose coordinates lie in -1 to 1."
            )
        walk[:, i] = 0
        walk = onto_sphere(walk) * (1 - values.square()).sqrt().unsqueeze(-1)
    walk[:, i] = values
    return from_origin(walk) if is_ball else walk


def path(support: Constraint, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Points at t from start to end: a line, of unit vectors the great circle's arc, in the ball the geodesic."""
    if support is poincare_ball:
        return mobius_add(start, from_origin(t * to_origin(mobius_add(-start, end))))
    line = torch.lerp(start, end, t)
    return onto_sphere(line) if support is constraints.sphere else line
