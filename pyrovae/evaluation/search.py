"""The most probable code of each datum by search, from several starts: a guide per datum in place of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyrovae.calls import public
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.layout import settle_particles
from pyrovae.core.pair import Pair, PairLike, as_pair
from pyrovae.core.program import Batch
from pyrovae.core.sites import Site, mask_scores, sample_sites
from pyrovae.core.trace import run_program
from pyrovae.distributions.density import log_density
from pyrovae.errors import ContractError, OptionError
from pyrovae.generate.expectation import Expectations

__all__ = ["BestCodes", "best_codes"]


@dataclass(frozen=True, repr=False)
class BestCodes:
    """What :func:`best_codes` found.

    Attributes:
        latents: of each site the code of the highest log p(x, z), (B, *event).
        log_joint: log p(x, z) that each start reached, in nats, (R, B).
        at_guide: log p(x, z) at the guide's mean, where the first start begins, (B,).
    """

    latents: dict[str, Tensor]
    log_joint: Tensor
    at_guide: Tensor

    @property
    def best(self) -> Tensor:
        """Which start was the best, (B,)."""
        return self.log_joint.argmax(0)

    @property
    def ranked(self) -> Tensor:
        """The starts of each datum from the best to the worst, (R, B)."""
        return self.log_joint.argsort(0, descending=True)

    def __repr__(self) -> str:
        first, best = float(self.at_guide.mean()), float(self.log_joint.amax(0).mean())
        starts, rows = self.log_joint.shape
        return f"log p(x, z) {best:.2f} at the best of {starts} starts, {first:.2f} at the guide (means of {rows} data)"


@public()
def best_codes(
    pair: PairLike, data: Any, num_restarts: int = 5, num_steps: int = 200, lr: float = 0.05, *, seed: int = 0
) -> BestCodes:
    """max over z of log p(x, z) for each datum, by Adam from the guide's mean and from draws of the prior; the best is kept.

    The starts of a datum are ranked by log p(x, z), which needs no labels. No parameter moves.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), whose latent sites are real vectors.
        data: B rows, in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_restarts: R, starts of each datum, of which the first is at the guide's mean.
        num_steps: of Adam, whose rate falls to 0.
        lr: its rate at first.
        seed: of the draws.

    Raises:
        ContractError: a latent site is discrete or bounded, or the model has no prior of it.

    References: Hoshen and Wolf, NAM: Non-Adversarial Unsupervised Domain Mapping, 2018 (codes that are optimized, restarts).

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> found = best_codes(vae(DataSpec("toy", (4,), "real"), latent_dim=2), torch.randn(7, 4), 3, num_steps=20)
    >>> found.latents["z"].shape, bool((found.log_joint[0] >= found.at_guide).all())
    (torch.Size([7, 2]), True)
    """
    pair = as_pair(pair)
    if lr <= 0:
        raise OptionError(f"lr is {lr!r}; expected a positive number.")
    batch = as_batch(pair, data)
    with inference(pair, seed=seed):
        settle_particles(pair.model, pair.guide, batch)
        starts = _starts(pair, batch, num_restarts)
        at_guide = _log_joint(pair, batch, starts)[0]
        codes, reached = _climb(pair, batch, starts, num_steps, lr)
    best = reached.argmax(0)
    rows = torch.arange(len(best), device=best.device)
    return BestCodes({name: value[best, rows] for name, value in codes.items()}, reached, at_guide)


def _starts(pair: Pair, batch: Batch, num: int) -> dict[str, Tensor]:
    """The guide's means first, then draws of the prior, (R, B, *event)."""
    with Expectations():
        means = sample_sites(run_program(pair.guide, batch))
    prior = sample_sites(run_program(pair.model, batch, num))
    found = {}
    for name, site in means.items():
        if site["is_observed"]:
            continue
        support: Any = site["fn"].support
        while isinstance(support, constraints.independent):
            support = support.base_constraint
        if support is not constraints.real and support is not constraints.real_vector:
            raise ContractError(f"site {name!r} has support {support}, and codes are looked for among all real numbers.")
        if name not in prior or not prior[name]["value"].is_floating_point():
            raise ContractError(f"the model has no prior of site {name!r}, so that no code of it is the most probable.")
        drawn = prior[name]["value"].expand(num, *site["value"].shape).clone()
        drawn[0] = site["value"]
        found[name] = drawn
    return found


def _log_joint(pair: Pair, batch: Batch, latents: Mapping[str, Tensor]) -> Tensor:
    """log p(x, z), (R, B)."""
    num = len(next(iter(latents.values())))
    sites: dict[str, Site] = sample_sites(run_program(pair.model, batch, num, given=latents))
    scores = [mask_scores(site, log_density(site["fn"], site["value"])) for site in sites.values()]
    total: Tensor = sum(scores[1:], scores[0])
    return total


def _climb(
    pair: Pair, batch: Batch, starts: Mapping[str, Tensor], num_steps: int, lr: float
) -> tuple[dict[str, Tensor], Tensor]:
    """The best code of each path, and its log p(x, z), (R, B)."""
    with torch.enable_grad():
        moving = {name: value.clone().requires_grad_() for name, value in starts.items()}
        optimizer = torch.optim.Adam(moving.values(), lr=lr)
        kept = {name: value.clone() for name, value in starts.items()}
        reached = None
        for step in range(num_steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - step / num_steps)
            optimizer.zero_grad()
            value = _log_joint(pair, batch, moving)
            with torch.no_grad():
                better = torch.ones_like(value, dtype=torch.bool) if reached is None else value > reached
                reached = value.detach().clone() if reached is None else torch.where(better, value, reached)
                for name, z in moving.items():
                    kept[name] = torch.where(better.reshape(*better.shape, *[1] * (z.dim() - 2)), z, kept[name])
            if step < num_steps:
                for z, slope in zip(moving.values(), torch.autograd.grad(-value.sum(), list(moving.values())), strict=True):
                    z.grad = slope
                optimizer.step()
    assert reached is not None
    return kept, reached
