"""Hamiltonian Monte Carlo on the path log f_beta(u) = log f_0(u) + beta log (f_1 / f_0)(u), for K chains a datum.

State in, state out: nothing here adapts. All arguments are tensors, (K, B) or (K, B, D).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Move", "Path", "Point", "at", "select", "hmc"]


class Point(NamedTuple):
    """Where K x B chains stand: u, (K, B, D), log f_0(u) and log (f_1 / f_0)(u), (K, B), and their gradients."""

    u: Tensor
    base: Tensor
    ratio: Tensor
    base_grad: Tensor
    ratio_grad: Tensor

    def log_density(self, beta: Tensor) -> Tensor:
        """log f_beta(u), (K, B); f_0 where beta is 0, whatever the ratio."""
        return self.base + torch.where(beta > 0, beta * self.ratio, 0.0)

    def grad(self, beta: Tensor) -> Tensor:
        """d log f_beta / du, (K, B, D)."""
        return self.base_grad + torch.where(beta > 0, beta, 0.0).unsqueeze(-1) * self.ratio_grad


Path = Callable[[Tensor], tuple[Tensor, Tensor]]  # u -> log f_0(u), log (f_1 / f_0)(u)
Move = Callable[[Point, Tensor, Tensor, Tensor], tuple[Point, Tensor]]  # point, beta, step, scale -> point, acceptance


def at(path: Path, u: Tensor) -> Point:
    """One pass of the densities forward and back."""
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        base, ratio = path(u)
        grads = [_grad(value, u, retain) for value, retain in ((base, True), (ratio, False))]
    return Point(u.detach(), base.detach(), ratio.detach(), *grads)


def _grad(value: Tensor, u: Tensor, retain: bool) -> Tensor:
    if not value.requires_grad:
        return torch.zeros_like(u)
    (grad,) = torch.autograd.grad(value.sum(), u, retain_graph=retain, allow_unused=True)
    return torch.zeros_like(u) if grad is None else grad


def select(mask: Tensor, one: Point, other: Point) -> Point:
    """``one`` where the mask, (K, B), is true, else ``other``."""
    return Point(*(torch.where(mask if a.dim() == 2 else mask.unsqueeze(-1), a, b) for a, b in zip(one, other, strict=True)))


def hmc(path: Path, point: Point, beta: Tensor, step: Tensor, scale: Tensor, num_leapfrog: int) -> tuple[Point, Tensor]:
    """One transition that leaves f_beta invariant; the accepted point with its gradient, and the acceptance, (K, B).

    The last leapfrog step's gradient is the new point's, so a transition costs ``num_leapfrog`` passes and the weight that
    follows it none. Momenta are N(0, diag scale^-2); the step is jittered by a factor in [0.75, 1.25], drawn apart from the
    state, since a fixed number of equal steps can be periodic.

    Args:
        path: the two log densities.
        point: where the chains are.
        beta: (B,).
        step: (B,), in units of ``scale``.
        scale: (B, D), about the spread of f_beta.
        num_leapfrog: L.

    References: Neal, MCMC Using Hamiltonian Dynamics, 2011, Eqs. (2.28) to (2.30).
    """
    jitter = 0.75 + 0.5 * torch.rand_like(point.base)
    stride = (step * jitter).unsqueeze(-1) * scale  # of u; the momentum here is the whitened one, N(0, I)
    start = momentum = torch.randn_like(point.u)
    moved = point
    momentum = momentum + 0.5 * stride * moved.grad(beta)
    for i in range(num_leapfrog):
        moved = at(path, moved.u + stride * momentum)
        momentum = momentum + (1.0 if i < num_leapfrog - 1 else 0.5) * stride * moved.grad(beta)
    gain = moved.log_density(beta) - point.log_density(beta)
    gain = gain - 0.5 * (momentum.square() - start.square()).sum(-1)
    acceptance = gain.clamp(max=0).exp().nan_to_num(0.0)
    return select(torch.rand_like(acceptance) < acceptance, moved, point), acceptance
