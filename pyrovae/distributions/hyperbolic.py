"""The Poincare ball of curvature -1, and the wrapped normal distribution in it."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Transform, biject_to, constraints
from torch.distributions.constraints import Constraint

__all__ = ["BallPrior", "WrappedNormal", "from_origin", "mobius_add", "poincare_ball", "to_origin"]

MAX_NORM = 1 - 1e-6  # of a point in float32, 14.5 from the origin; farther ones are brought back to it


class _Ball(Constraint):
    """Vectors shorter than 1."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        """Whether they are, (*batch_shape)."""
        return value.norm(dim=-1) < 1


poincare_ball = _Ball()


def _over_norm(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """The vectors' lengths, (..., 1), at least a tiny one, so that a direction of length 0 has a gradient."""
    length = vectors.square().sum(-1, keepdim=True).clamp(min=1e-30).sqrt()
    return length, vectors / length


def from_origin(tangent: Tensor) -> Tensor:
    """exp_0(v) = tanh(|v| / 2) v / |v|: the point at distance |v| from the origin, (..., d).

    >>> from_origin(torch.tensor([3.0, 0.0]))
    tensor([0.9051, 0.0000])
    """
    length, direction = _over_norm(tangent)
    return (length / 2).tanh().clamp(max=MAX_NORM) * direction


def to_origin(point: Tensor) -> Tensor:
    """log_0(z) = 2 artanh(|z|) z / |z|, the inverse of :func:`from_origin`, (..., d)."""
    length, direction = _over_norm(point)
    return 2 * length.clamp(max=MAX_NORM).atanh() * direction


def mobius_add(x: Tensor, y: Tensor) -> Tensor:
    """x (+) y, the addition of the ball, (..., d): -x (+) x = 0, and d(x, y) = 2 artanh |-x (+) y|.

    References: Ungar, A Gyrovector Space Approach to Hyperbolic Geometry, 2008, Eq. (1.27).
    """
    xy, xx, yy = (x * y).sum(-1, keepdim=True), x.square().sum(-1, keepdim=True), y.square().sum(-1, keepdim=True)
    return ((1 + 2 * xy + yy) * x + (1 - xx) * y) / (1 + 2 * xy + xx * yy)


class BallPrior(nn.Module):
    """p(z), a wrapped normal around the origin of the ball, (d,), as a prior of :class:`pyrovae.models.VAE`.

    Args:
        dim: d.
        scale: s, the same in all directions.
    """

    def __init__(self, dim: int, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("origin", torch.zeros(dim), persistent=False)

    def forward(self) -> WrappedNormal:
        """The distribution, on the device of the model."""
        return WrappedNormal(self.origin, torch.full_like(self.origin, self.scale))


class WrappedNormal(TorchDistribution):
    """A Gaussian of the tangent space, wrapped around the Poincare ball; ``log_prob`` in nats, (*batch_shape).

        z = m (+) exp_0(v),   v ~ N(0, diag s^2),   r = |v| = d(m, z)
        log p(z) = log N(v; 0, diag s^2) + (d - 1) log(r / sinh r) + d log(2 / (1 - |z|^2))

    a density with respect to the coordinates of z, as everywhere here; the one with respect to the ball's own volume lacks the
    last term, which is the same in p and q.

    Args:
        loc: m, in the ball, (*batch_shape, d).
        scale: s, (*batch_shape, d).

    References: Mathieu, Le Lan, Maddison, Tomioka and Teh, Continuous Hierarchical Representations with Poincare Variational
    Auto-Encoders, 2019, Section 3.2 and Eq. (10).

    >>> round(float(WrappedNormal(torch.zeros(2), torch.ones(2)).log_prob(torch.zeros(2))), 4)  # log(4 / (2 pi))
    -0.4516
    """

    arg_constraints = {"loc": poincare_ball, "scale": constraints.positive}
    support = poincare_ball
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> WrappedNormal:
        """The same distribution with this batch shape."""
        shape = (*batch_shape, *self.event_shape)
        return WrappedNormal(self.loc.expand(shape), self.scale.expand(shape), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """NaN: the mean of points of the ball is not known in closed form."""
        return torch.full_like(self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        """m, which every draw is wrapped around."""
        return self.loc

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Reparameterized draws, (*sample_shape, *batch_shape, d)."""
        shape = self.shape(sample_shape)
        tangent = self.scale * torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        z = mobius_add(self.loc.double(), from_origin(tangent.double()))
        length, direction = _over_norm(z)
        return (length.clamp(max=MAX_NORM) * direction).to(self.loc.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z), (*batch_shape), in nats per coordinates of z."""
        z, dim = value.double(), self.event_shape[0]
        tangent = to_origin(mobius_add(-self.loc.double(), z))
        length = _over_norm(tangent)[0].squeeze(-1)
        normal = torch.distributions.Normal(0.0, self.scale.double(), validate_args=False).log_prob(tangent).sum(-1)
        log_sinh = length + torch.log1p(-(-2 * length).exp() + 1e-300) - math.log(2)
        volume = torch.where(length > 1e-6, (length.log() - log_sinh), 0.0)
        stretch = math.log(2) - torch.log1p(-z.square().sum(-1))
        return (normal + (dim - 1) * volume + dim * stretch).to(value.dtype)


class _FromReals(Transform):
    """exp_0 from all vectors onto the ball."""

    domain = constraints.real_vector
    codomain = poincare_ball
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _FromReals)

    def __hash__(self) -> int:
        return hash(_FromReals)

    def _call(self, x: Tensor) -> Tensor:
        return from_origin(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return to_origin(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |dz / dv| = log(sech^2(r / 2) / 2) + (d - 1) log(tanh(r / 2) / r), r = |v|."""
        length = _over_norm(x)[0].squeeze(-1)
        slope = math.log(2) - length - 2 * torch.log1p((-length).exp())  # log(sech^2(r / 2) / 2)
        across = torch.where(length > 1e-4, (length / 2).tanh().log() - length.log(), -math.log(2) - length.square() / 12)
        return slope + (x.shape[-1] - 1) * across


@biject_to.register(_Ball)
def _onto_ball(constraint: _Ball) -> Transform:
    return _FromReals()
