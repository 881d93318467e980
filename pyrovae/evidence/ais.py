"""log p(x) by annealing from the prior or the guide to the posterior: AIS, and SMC, which resamples on the way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from pyrovae.compile import Code
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.evidence.annealing import PATHS, Annealed, Schedule, anneal, path_from, plan
from pyrovae.evidence.hmc import Move, Path
from pyrovae.evidence.method import Job, Method, refuse_worthless, require
from pyrovae.evidence.move import transition
from pyrovae.evidence.target import Target
from pyrovae.evidence.weights import Weights, effective

__all__ = ["AIS", "SMC"]


@dataclass(frozen=True)
class AIS(Method):
    """Annealed importance sampling with K chains a datum: a lower bound on log p(x_b) in expectation, in nats, (B,).

        log (1/K) sum_k w_kb,   log w_kb = sum_t (beta_t - beta_t-1) log (p(x_b, z_t) / f_0(z_t))

    The chain z_1 .. z_T moves along log f_beta = (1 - beta) log f_0 + beta log p(x, z) at T temperatures, in the
    unconstrained space of all continuous latent sites, discrete ones summed out exactly; one transition of HMC at each.
    Temperatures, and HMC's step for each datum and temperature, are tuned on a pilot run of its own and frozen before any
    weight accumulates. A weight's update takes no pass of the model beyond HMC's; in all a datum costs about K T L passes
    forward and back.

    Args:
        num_chains: K, chains for each datum.
        num_distributions: T, temperatures.
        start: f_0, the "guide" q(z | x) (10 times fewer temperatures in Wu et al.) or the "prior" p(z).
        path: temperatures: "adaptive" (an equal loss of effective sample size at each step, for each datum), "sigmoidal" or
            "linear".
        num_leapfrog: L, leapfrog steps of a transition. At equal cost few steps and many temperatures did best on a trained
            VAE (3 against 10).
        acceptance: of HMC, for which the pilot run tunes the steps.
        pilot_chains: chains of the pilot run for each datum.

    References: Neal, Annealed Importance Sampling, 2001; Wu, Burda, Salakhutdinov and Grosse, On the Quantitative Analysis of
    Decoder-Based Generative Models, 2017.
    """

    name: ClassVar[str] = "ais"
    long: ClassVar[float] = 2_000_000
    num_chains: int = 16
    num_distributions: int = 1000
    start: str = "guide"
    path: str = "adaptive"
    num_leapfrog: int = 3
    acceptance: float = 0.65
    pilot_chains: int = 8

    def __post_init__(self) -> None:
        for name, least in (("num_chains", 1), ("num_distributions", 1), ("num_leapfrog", 1), ("pilot_chains", 2)):
            require(name, getattr(self, name), least)
        for name, known in (("start", ("guide", "prior")), ("path", PATHS)):
            if getattr(self, name) not in known:
                raise nearest(name, getattr(self, name), known)
        if not 0 < self.acceptance < 1:
            raise OptionError(f"acceptance is {self.acceptance!r}; expected a rate between 0 and 1.")

    @property
    def covers(self) -> str | None:
        """What to use in place of it where the guide is zero at draws of the prior."""
        return "start='prior'" if self.start == "guide" else None

    @property
    def weighs_guide(self) -> bool:
        """Whether log q(z | x) enters the weights."""
        return self.start == "guide"

    @property
    def work(self) -> int:
        """Units of progress for each datum."""
        return self.num_chains * self.num_distributions

    def batch_size(self, asked: int, max_rows: int) -> int:
        """Data in one batch."""
        return max(1, min(asked, max_rows // max(self.num_chains, self.pilot_chains)))

    def estimate(self, job: Job) -> dict[str, Tensor]:
        """The columns of a batch, (B,) each, values in nats."""
        target = Target(job.model, job.guide, job.batch, job.max_rows)
        group = max(1, job.max_rows // job.size)
        path, move, schedule = self.plan(target, job.code, group)
        weights = Weights(job.size, job.device, self.num_chains)
        acceptance = torch.zeros_like(weights.top)
        for done in range(0, self.num_chains, group):
            k = min(group, self.num_chains - done)
            run = self.run(target, path, move, schedule, k, job)
            weights.add(run.log_weight)
            acceptance += run.acceptance * k / self.num_chains
        columns = weights.columns()
        refuse_worthless(columns["value"], job, f"{self.num_chains} chains' weights")
        kept = {name: columns[name] for name in ("value", "stderr", "ess", "khat", "num_weights")}
        return {**kept, "acceptance": acceptance, "passes": torch.full_like(weights.top, target.passes)}

    def plan(self, target: Target, code: Code | None = None, group: int = 0) -> tuple[Path, Move, Schedule]:
        """The densities along the path, HMC's transition for groups of chains, and a pilot run's frozen schedule."""
        if not target.draw(1, self.start).shape[-1]:
            raise ContractError("the pair has no continuous latent site to move through; use method 'exact'.")
        target.refuse_ends(self.start)
        path = path_from(target, self.start)
        move = transition(target, path, self.start, self.num_leapfrog, code, {self.pilot_chains, min(group, self.num_chains)})
        options = (self.start, self.path, self.num_distributions, self.pilot_chains, self.acceptance)
        return path, move, plan(target, path, move, *options)

    def run(
        self, target: Target, path: Path, move: Move, schedule: Schedule, num_chains: int, job: Job, below: float = 0.0
    ) -> Annealed:
        """Chains from fresh draws of f_0; NonFiniteError names the site of a NaN."""
        u, tick = target.draw(num_chains, self.start), partial(job.tick, num_chains * job.size)
        run = anneal(path, u, schedule, move, resample_below=below, tick=tick, keeper=job.keeper)
        if bool(run.log_weight.isnan().any() | (run.log_weight == torch.inf).any()):
            target.refuse_non_finite(u)
        return run


@dataclass(frozen=True)
class SMC(AIS):
    """The same chains, resampled where their effective sample size falls low: a lower bound in expectation, in nats, (B,).

        log prod_s (1/K) sum_k w_kbs,   w_kbs the weight of chain k between two resamplings

    Less variance than AIS where weights grow uneven on the way; all K chains of a datum must be in memory at once. The stated
    standard error counts chains of one first ancestor as one.

    Args:
        resample_below: the share of K; where the effective sample size of a datum's chains is under it, they are resampled.
            The other options are those of :class:`AIS`.

    References: Del Moral, Doucet and Jasra, Sequential Monte Carlo Samplers, 2006.
    """

    name: ClassVar[str] = "smc"
    num_chains: int = 64
    resample_below: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.resample_below <= 1:
            raise OptionError(f"resample_below is {self.resample_below!r}; expected a share of the chains, from 0 to 1.")

    def estimate(self, job: Job) -> dict[str, Tensor]:
        """The columns of a batch, (B,) each, values in nats."""
        if self.num_chains * job.size > job.max_rows:
            raise OptionError(
                f"num_chains is {self.num_chains} for {job.size} data in one pass, more than max_rows={job.max_rows}: smc "
                "resamples all chains of a datum together; give a larger max_rows, fewer chains, or method 'ais'."
            )
        target = Target(job.model, job.guide, job.batch, job.max_rows)
        path, move, schedule = self.plan(target, job.code, self.num_chains)
        run = self.run(target, path, move, schedule, self.num_chains, job, self.resample_below)
        columns = effective(run.log_weight, run.ancestor)
        refuse_worthless(columns["value"], job, f"{self.num_chains} chains' weights")
        counts = {"num_weights": self.num_chains, "passes": target.passes}
        full = {name: torch.full_like(columns["value"], value) for name, value in counts.items()}
        return {**columns, "acceptance": run.acceptance, **full}
