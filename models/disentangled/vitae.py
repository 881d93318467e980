"""The generative model of VITAE: an appearance on a canvas, seen from a perspective."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import affine_flow, affine_matrix, float_zeros, warp

__all__ = ["VITAE"]


class VITAE(nn.Module):
    """p(x, z_P, z_A) = N(z_P; 0, I) N(z_A; 0, I) p(x | T canvas(z_A)), T the affine map exp(velocity(z_P)).

    The canvas is what the likelihood takes: logits of binary pixels, means (and scales, where they are predicted) of others;
    T moves these by reading between them, and at the edges repeats them, so that none gets a probability of 0 from outside.

    Sites: ``z_P``, (d_P,), the perspective; ``z_A``, (d_A,), the appearance; ``x``, the shape of a datum.

    Args:
        decoder: (..., d_A) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        velocity: (..., d_P) to velocities of affine maps, (..., 2, 3) (:class:`~pyrovae.nets.AffineVelocity`).
        appearance_dim: d_A.
        perspective_dim: d_P.

    References: Detlefsen and Hauberg, Explicit Disentanglement of Appearance and Perspective in Generative Models, 2019,
    Section 3.
    """

    def __init__(
        self, decoder: nn.Module, likelihood: nn.Module, velocity: nn.Module, appearance_dim: int, perspective_dim: int
    ) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.velocity = decoder, likelihood, velocity
        self.appearance_dim, self.perspective_dim = appearance_dim, perspective_dim

    def seen(self, z_A: Tensor, z_P: Tensor) -> Tensor:
        """The canvas from the perspective, (..., P, *shape)."""
        canvas = self.decoder(z_A)
        flow = affine_flow(affine_matrix(self.velocity(z_P)), *canvas.shape[-2:])
        event = canvas.dim() - z_A.dim() + 1  # axes P, (C,) H and W, of which the first move alike
        return warp(canvas, flow.reshape(*flow.shape[:-3], *[1] * (event - 2), *flow.shape[-3:]))

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z_P = pyro.sample("z_P", dist.Normal(float_zeros(x, self.perspective_dim), 1.0).to_event(1))
            z_A = pyro.sample("z_A", dist.Normal(float_zeros(x, self.appearance_dim), 1.0).to_event(1))
            pyro.sample("x", self.likelihood(self.seen(z_A, z_P)), obs=x)
