"""q*: for each datum a diagonal Gaussian of the unconstrained u, refined by the ELBO from the amortized guide's moments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from pyrovae.errors import ContractError, NonFiniteError
from pyrovae.evidence.hmc import Path
from pyrovae.evidence.method import Job, Method, require
from pyrovae.evidence.target import Target
from pyrovae.evidence.weights import Weights

__all__ = ["Gaussian", "Refined", "refine"]

MOMENT_DRAWS = 256  # of the guide, for where the refinement starts


class Gaussian(NamedTuple):
    """N(u; loc, diag scale^2) for each datum, (B, D) each."""

    loc: Tensor
    scale: Tensor

    def draw(self, num_particles: int) -> Tensor:
        """u, (K, B, D)."""
        return self.loc + self.scale * torch.randn(
            num_particles, *self.loc.shape, dtype=self.loc.dtype, device=self.loc.device
        )

    def log_prob(self, u: Tensor) -> Tensor:
        """(K, B), in nats."""
        standard = (u - self.loc) / self.scale
        return -(0.5 * standard.square() + self.scale.log() + 0.5 * math.log(2 * math.pi)).sum(-1)

    def path(self, target: Target) -> Path:
        """u -> log q*(u) and log p(x, u) - log q*(u)."""

        def path(u: Tensor) -> tuple[Tensor, Tensor]:
            density, base = target.densities(u), self.log_prob(u)
            return base, density.prior + density.likelihood - base

        return path


def refine(target: Target, num_steps: int, num_particles: int) -> Gaussian:
    """argmax over diagonal Gaussians q* of E_q*[log p(x, u) - log q*(u)], by Adam, starting from the guide's moments.

    K reparameterized draws a step, the entropy analytic, the step in units of the guide's own scale and falling to zero.

    References: Cremer, Li and Duvenaud, Inference Suboptimality in Variational Autoencoders, 2018, Section 3 (local FFG).
    """
    u = target.draw(MOMENT_DRAWS, "guide")
    if not u.shape[-1]:
        raise ContractError("the pair has no continuous latent site, so no Gaussian to refine; use method 'exact'.")
    target.refuse_ends("guide")
    mean, scale = u.mean(0), u.std(0).clamp_min(1e-6)
    shift, stretch = torch.zeros_like(mean).requires_grad_(), torch.zeros_like(mean).requires_grad_()
    optimizer = torch.optim.Adam([shift, stretch], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        with torch.enable_grad():
            q = Gaussian(mean + scale * shift, scale * stretch.exp())
            density = target.densities(q.draw(num_particles))
            bound = ((density.prior + density.likelihood).mean(0) + stretch.sum(-1)).sum()
        if bool(bound.isnan()):
            target.refuse_non_finite(q.draw(num_particles).detach())
        shift.grad, stretch.grad = (-grad for grad in torch.autograd.grad(bound, [shift, stretch]))
        optimizer.step()
        schedule.step()
    return Gaussian((mean + scale * shift).detach(), (scale * stretch.exp()).detach())


@dataclass(frozen=True)
class Refined(Method):
    """log (1/K) sum_k p(x_b, u_kb) / q*(u_kb), u_kb ~ q*, a lower bound, and as ``elbo`` L[q*], the mean of their logs.

    q* is refined for each datum, and the draws are fresh.

    Args:
        num_samples: K.
        num_steps: of the refinement.
        num_particles: draws in each step.
    """

    name: ClassVar[str] = "refined"
    num_samples: int = 1000
    num_steps: int = 300
    num_particles: int = 10

    def __post_init__(self) -> None:
        for name in ("num_samples", "num_steps", "num_particles"):
            require(name, getattr(self, name), 1)

    @property
    def work(self) -> int:
        """Units of progress for each datum."""
        return self.num_samples + self.num_steps * self.num_particles

    def batch_size(self, asked: int, max_rows: int) -> int:
        """Data in one batch."""
        return max(1, min(asked, max_rows // self.num_particles))

    def estimate(self, job: Job) -> dict[str, Tensor]:
        """The columns of a batch, (B,) each, values in nats."""
        target = Target(job.model, job.guide, job.batch, job.max_rows)
        q = refine(target, self.num_steps, self.num_particles)
        job.tick(self.num_steps * self.num_particles * job.size)
        weights, path = Weights(job.size, job.device, self.num_samples), q.path(target)
        chunk = max(1, job.max_rows // job.size)
        for done in range(0, self.num_samples, chunk):
            k = min(chunk, self.num_samples - done)
            weights.add(path(q.draw(k))[1])
            job.tick(k * job.size)
        columns = weights.columns()
        if bool(columns["elbo"].isnan().any()):
            raise NonFiniteError(f"L[q*] is nan at datum {job.first + int(columns['elbo'].isnan().nonzero()[0])}.")
        return {**columns, "passes": torch.full_like(columns["elbo"], target.passes)}
