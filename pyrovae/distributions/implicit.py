"""A distribution that is drawn from by a network of noise, and whose density nobody knows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

__all__ = ["Implicit", "is_implicit"]


class Implicit(TorchDistribution):
    """A network of noise: draws that are differentiable, and **no** density.

        z = draw(e),   e ~ N(0, I_m)

    ``log_prob`` is 0 nats, (*batch_shape), in place of what nobody knows; whatever needs a density asks
    :func:`~pyrovae.distributions.is_density` and refuses it.

    Args:
        draw: noise, (..., *batch_shape, m), to z, (..., *batch_shape, d).
        noise_dim: m.
        event_dim: d.
        batch_shape: of the distributions.
        like: a tensor of the device and dtype of the noise.

    >>> Implicit(lambda noise: noise @ torch.ones(3, 2), 3, 2, torch.Size([5]), torch.zeros(1)).rsample((4,)).shape
    torch.Size([4, 5, 2])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real_vector
    has_rsample = True
    is_density = False

    def __init__(
        self, draw: Callable[[Tensor], Tensor], noise_dim: int, event_dim: int, batch_shape: torch.Size, like: Tensor
    ) -> None:
        super().__init__(torch.Size(batch_shape), torch.Size([event_dim]), validate_args=False)
        self.draw, self.noise_dim, self.like = draw, noise_dim, like

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Implicit:
        """The same distribution with this batch shape."""
        return Implicit(self.draw, self.noise_dim, self.event_shape[0], torch.Size(batch_shape), self.like)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape, d)."""
        shape = (*sample_shape, *self.batch_shape, self.noise_dim)
        return self.draw(torch.randn(shape, device=self.like.device, dtype=self.like.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        """Zero, which is no log density, (*batch_shape)."""
        return value.new_zeros(torch.broadcast_shapes(value.shape[:-1], self.batch_shape))

    def at_rest(self) -> Tensor:
        """The sum over dimensions of the draw without noise, (*batch_shape), by which two distributions are told apart."""
        return self.draw(self.like.new_zeros((*self.batch_shape, self.noise_dim))).sum(-1)


def is_implicit(fn: TorchDistribution) -> bool:
    """Whether a distribution is drawn from without a density.

    >>> is_implicit(Implicit(lambda noise: noise, 2, 2, torch.Size([3]), torch.zeros(1)))
    True
    """
    return isinstance(fn, Implicit)
