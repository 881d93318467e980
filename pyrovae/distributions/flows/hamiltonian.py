"""Hamiltonian dynamics as a flow: leapfrog steps towards the posterior, cooled on the way."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Transform, constraints

__all__ = ["Leapfrog"]


class Leapfrog(Transform):
    """L leapfrog steps of position and momentum, (z, r) together (..., 2d), each followed by cooling; it has an inverse.

        r <- r - e/2 grad U(z),   z <- z + e r,   r <- a_l (r - e/2 grad U(z)),   l = 1..L
        1 / sqrt(b_l) = (1 - 1 / sqrt(b_0)) l^2 / L^2 + 1 / sqrt(b_0),   a_l = sqrt(b_l-1 / b_l)
        log |det| = d sum_l log a_l = d/2 log b_0

    Momenta start hot, at variance 1 / b_0, and are cooled to 1 by quadratic steps. The gradient of U is taken inside, so that
    a gradient of the whole has second derivatives of U.

    Args:
        potential: U, (..., d) to (...), in nats: each row's of itself alone.
        step_size: e, (d,).
        num_steps: L, at least 1.
        temperature: b_0 in (0, 1], 0-d.

    References: Caterini, Doucet and Sejdinovic, Hamiltonian Variational Auto-Encoder, 2018, Section 3.2 and Algorithm 1.
    """

    domain: ClassVar[Any] = constraints.real_vector
    codomain: ClassVar[Any] = constraints.real_vector
    bijective = True

    def __init__(self, potential: Callable[[Tensor], Tensor], step_size: Tensor, num_steps: int, temperature: Tensor) -> None:
        super().__init__()
        self.potential, self.step_size = potential, step_size
        hot = temperature.rsqrt()  # 1 / sqrt(b_0)
        roots = [(1 - hot) * (step / num_steps) ** 2 + hot for step in range(num_steps + 1)]
        self.cooling = [later / earlier for earlier, later in pairwise(roots)]  # a_1, ..., a_L
        self.log_det = 0.5 * len(step_size) * temperature.log()

    def _slope(self, z: Tensor) -> Tensor:
        """grad U(z), differentiable where gradients are."""
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():
            z = z if wanted and z.requires_grad else z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.potential(z).sum(), z, create_graph=wanted)
        return slope

    def _call(self, x: Tensor) -> Tensor:
        z, momentum = x.chunk(2, -1)
        half = 0.5 * self.step_size
        slope = self._slope(z)
        for cooling in self.cooling:
            momentum = momentum - half * slope
            z = z + self.step_size * momentum
            slope = self._slope(z)
            momentum = cooling * (momentum - half * slope)
        return torch.cat([z, momentum], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        z, momentum = y.chunk(2, -1)
        half = 0.5 * self.step_size
        slope = self._slope(z)
        for cooling in reversed(self.cooling):
            momentum = momentum / cooling + half * slope
            z = z - self.step_size * momentum
            slope = self._slope(z)
            momentum = momentum + half * slope
        return torch.cat([z, momentum], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |det|, the same everywhere, (...)."""
        return self.log_det.expand(x.shape[:-1])
