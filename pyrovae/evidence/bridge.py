"""log p(x) by bridge sampling between a refined Gaussian and draws of the posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pyrovae.errors import NonFiniteError
from pyrovae.evidence.chains import Moments, split_rhat
from pyrovae.evidence.gaussian import refine
from pyrovae.evidence.hmc import at, hmc
from pyrovae.evidence.method import Job, Method, require
from pyrovae.evidence.target import Target

__all__ = ["Bridge", "meng_wong"]

LOG_STEP_GAIN = 0.5  # of the log step size for each unit of acceptance above the target, while in the warmup
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class Bridge(Method):
    """Bridge sampling between q* and draws of the posterior: neither bound, small error, in nats, (B,).

        p(x_b) = E_q*[h(u) p(x_b, u)] / E_p(u | x_b)[h(u) q*(u)],   h the optimal bridge

    q* is a diagonal Gaussian refined from the guide; posterior draws come from K chains of HMC, whose steps are
    tuned while they warm up and frozen then. Its error stays finite where q* is narrower than the posterior. The stated
    standard error counts the chains' autocorrelation (by the spread of chain means), not what unmixed chains all miss.
    Half of the chains start from q*, half from draws of the prior; where they do not meet, ``rhat`` says so.

    Args:
        num_chains: K, chains for each datum.
        num_draws: draws kept of each chain; q* gives as many as all chains together.
        num_warmup: transitions before them.
        num_leapfrog: L, leapfrog steps of a transition.
        num_steps: of q*'s refinement.
        acceptance: of HMC, for which the steps are tuned.

    References: Meng and Wong, Simulating Ratios of Normalizing Constants via a Simple Identity, 1996; Fruehwirth-Schnatter,
    Estimating Marginal Likelihoods for Mixture and Markov Switching Models Using Bridge Sampling Techniques, 2004 (error).
    """

    name: ClassVar[str] = "bridge"
    num_chains: int = 16
    num_draws: int = 100
    num_warmup: int = 100
    num_leapfrog: int = 5
    num_steps: int = 300
    acceptance: float = 0.65

    def __post_init__(self) -> None:
        for name, least in (("num_chains", 2), ("num_draws", 1), ("num_warmup", 1), ("num_leapfrog", 1), ("num_steps", 1)):
            require(name, getattr(self, name), least)

    @property
    def bound(self) -> str:
        """On which side of log p(x) the value lies in expectation."""
        return "estimate"

    @property
    def work(self) -> int:
        """Units of progress for each datum."""
        return self.num_chains * (self.num_draws + self.num_warmup)

    def batch_size(self, asked: int, max_rows: int) -> int:
        """Data in one batch."""
        return max(1, min(asked, max_rows // self.num_chains))

    def estimate(self, job: Job) -> dict[str, Tensor]:
        """The columns of a batch, (B,) each, values in nats."""
        target = Target(job.model, job.guide, job.batch, job.max_rows)
        q = refine(target, self.num_steps, min(10, self.num_chains))
        path, k = q.path(target), self.num_chains
        point = at(path, torch.cat([q.draw(k - k // 2), target.draw(k // 2)]))
        halves = (Moments(), Moments())
        one, step = torch.ones_like(point.base[0]), torch.full_like(point.base[0], math.log(0.5))
        from_posterior, from_gaussian, acceptances = [], [], []
        for t in range(self.num_warmup + self.num_draws):
            point, accepted = hmc(path, point, one, step.exp(), q.scale, self.num_leapfrog)
            if t < self.num_warmup:
                step = step + LOG_STEP_GAIN * min(1.0, 20 / (t + 1)) * (accepted.mean(0) - self.acceptance)
            else:
                from_posterior.append(point.ratio.double())
                halves[2 * len(from_posterior) > self.num_draws].add(torch.cat([point.u, point.ratio.unsqueeze(-1)], -1))
                from_gaussian.append(path(q.draw(k))[1].double())
                acceptances.append(accepted.mean(0))
            job.tick(k * job.size)
        posterior, gaussian = torch.stack(from_posterior), torch.cat(from_gaussian)
        value, stderr = meng_wong(posterior, gaussian)
        if bool(value.isnan().any()):
            row = int(value.isnan().nonzero()[0])
            raise NonFiniteError(
                f"the bridge of datum {job.first + row} is nan: look at the densities there; try method 'ais'."
            )
        counts = {"num_weights": len(gaussian), "passes": target.passes, "ess": math.nan}
        full = {name: torch.full_like(value, number) for name, number in counts.items()}
        acceptance = torch.stack(acceptances).mean(0).double()
        return {"value": value, "stderr": stderr, "acceptance": acceptance, "rhat": split_rhat(*halves), **full}


def meng_wong(posterior: Tensor, gaussian: Tensor) -> tuple[Tensor, Tensor]:
    """The fixed point of Z = mean_q[l / (s1 l + s2 Z)] / mean_p[1 / (s1 l + s2 Z)]: log Z and its standard error, (B,).

    Args:
        posterior: log l = log p(x, u) - log q(u) at draws of the posterior, M of each of K chains, (M, K, B).
        gaussian: the same at draws of q, (S, B).

    >>> value, stderr = meng_wong(torch.full((5, 4, 2), -3.0), torch.full((20, 2), -3.0))
    >>> value
    tensor([-3., -3.])
    """
    flat = posterior.flatten(0, 1)
    total = len(flat) + len(gaussian)
    log_s1, log_s2 = math.log(len(flat) / total), math.log(len(gaussian) / total)
    value = gaussian.median(0).values
    for _ in range(MAX_ITERATIONS):
        over_q = gaussian - torch.logaddexp(log_s1 + gaussian, log_s2 + value)
        over_p = -torch.logaddexp(log_s1 + flat, log_s2 + value)
        new = over_q.logsumexp(0) - over_p.logsumexp(0) - math.log(len(gaussian) / len(flat))
        settled = bool(((new - value).abs() < 1e-9).all())
        value = new
        if settled:
            break
    f_q = (over_q - over_q.amax(0)).exp()
    f_p = (over_p - over_p.amax(0)).exp().reshape(posterior.shape).mean(0)  # the mean of each chain
    parts = [f.var(0) / f.mean(0).square() / len(f) for f in (f_q, f_p)]
    return value, (parts[0] + parts[1]).sqrt()
