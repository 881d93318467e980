"""The guides of VITAE: the appearance is read off the image as it is, or after its perspective is taken back."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import affine_flow, affine_matrix, as_float, loc_and_scale, warp

__all__ = ["VITAEGuide"]


class VITAEGuide(nn.Module):
    """q(z_P, z_A | x) = q(z_P | x) q(z_A | T^-1 x), T^-1 = exp(-velocity(z_P)) (C-VITAE); or q(z_P | x) q(z_A | x) (U-VITAE).

    exp(-v) is the exact inverse of exp(v), so that the appearance's network sees the image as it lies on the canvas. The
    public code takes the map back by the mean of the perspective; here by its draw, which moves the model's canvas, too.

    Sites: ``z_P``, (d_P,), the perspective; ``z_A``, (d_A,), the appearance.

    Args:
        perspective: x to (..., 2 d_P), for :func:`~pyrovae.nets.loc_and_scale`.
        appearance: x, or x taken back, to (..., 2 d_A).
        velocity: the module of the model; None of U-VITAE.

    References: Detlefsen and Hauberg, Explicit Disentanglement of Appearance and Perspective in Generative Models, 2019,
    Section 3.
    """

    def __init__(self, perspective: nn.Module, appearance: nn.Module, velocity: nn.Module | None = None) -> None:
        super().__init__()
        self.perspective, self.appearance, self.velocity = perspective, appearance, velocity

    def taken_back(self, x: Tensor, z_P: Tensor) -> Tensor:
        """T^-1 x, (..., *shape), at a perspective, (..., d_P)."""
        assert self.velocity is not None
        flow = affine_flow(affine_matrix(-self.velocity(z_P)), *x.shape[-2:])
        channels = x.dim() - 3
        return warp(as_float(x), flow.reshape(*flow.shape[:-3], *[1] * channels, *flow.shape[-3:]))

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, scale = loc_and_scale(self.perspective(x))
        with pyro.plate("data", x.shape[0], dim=-1):
            z_P = pyro.sample("z_P", dist.Normal(loc, scale).to_event(1))
            seen = x if self.velocity is None else self.taken_back(x, z_P)
            pyro.sample("z_A", dist.Normal(*loc_and_scale(self.appearance(seen))).to_event(1))
