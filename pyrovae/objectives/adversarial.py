"""Objectives with a discriminator of their own: the adversarial autoencoder."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import PairTrace, run_program, trace_pair
from pyrovae.errors import ContractError
from pyrovae.objectives.discrepancy import mmd, mmd_null
from pyrovae.objectives.objective import Given, Objective, Update, Updates

__all__ = ["AAE", "discriminator", "sliced_wasserstein", "sliced_wasserstein_null"]

MOST_PAIRED = 1_000  # codes whose pairs are looked at


class AAE(Objective):
    """The adversarial autoencoder: a reconstruction, and codes that a discriminator D cannot tell from the prior.

        reconstruct (model, guide):  -E_q[log p(x | z)]
        discriminate (D):            E_p(z)[softplus(-D(z))] + E_q(z)[softplus(D(z))]
        deceive (guide):             E_q(z)[softplus(-D(z))]

    Three updates in this order, each at the parameters that the one before it left; codes are drawn anew after the first. At
    the equilibrium D = 0 and the discriminator's loss is 2 log 2. The prior is the model's own: its latent sites, run on its
    own draws. What is reported is E_q[log p(x | z)], in nats per datum, **no** bound on log p(x); log q is never asked for,
    so that the guide may be a point.

    Logged beside the losses: ``accuracy`` of the discriminator, ``logit_prior`` and ``logit_code`` (mean D of both), and at
    each epoch's end ``code_distance``, the sliced Wasserstein distance of codes to the prior, with ``code_distance_null``, the
    95% quantile that it has where the codes are draws of the prior; ``code_mmd`` and ``code_mmd_null`` are the same of the
    squared maximum mean discrepancy, by inverse multiquadratics, of at most 1,000 codes. Neither asks the discriminator.

    Args:
        hidden: width of the two hidden layers of D, of rectified units.
        num_particles: K; codes are K draws a datum.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Section 2; Goodfellow et al.,
    Generative Adversarial Nets, 2014, Section 3 (the loss of "deceive", which does not saturate).
    """

    bound = "none"
    moves = {"reconstruct": ("model", "guide"), "discriminate": ("objective",), "deceive": ("guide",)}
    optimizers = {
        "discriminate": {"name": "Adam", "betas": (0.5, 0.999)},
        "deceive": {"name": "Adam", "betas": (0.5, 0.999)},
    }

    def __init__(self, hidden: int = 1000, num_particles: int = 1) -> None:
        super().__init__(num_particles)
        self.require("hidden", hidden, at_least=1)
        self.hidden = hidden

    @property
    def lacks_networks(self) -> bool:
        """Whether the discriminator is not made yet."""
        return self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Make the discriminator for codes like these, once."""
        if self.networks is None:
            z = codes_of(traced.latents)
            self.networks = discriminator(z.shape[-1], self.hidden).to(z.device)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = trace_pair(given.model, given.guide, given.batches[batch], self.num_particles)
        for name, site in traced.guide_sites.items():
            if not (site["fn"].has_rsample and site["value"].is_floating_point()) or name in traced.enumerated:
                raise ContractError(
                    f"site {name!r} ({site['fn']}) is no differentiable draw, and {self!r} moves the guide through its codes; "
                    "give the site a deterministic or reparameterized distribution."
                )
        return self.admit(given, traced)

    def codes(self, given: Given) -> Tensor:
        """Codes of the batch by the guide alone, (K, B, D), all latent sites side by side."""
        sites = sample_sites(run_program(given.guide, given.batch, self.num_particles))
        return codes_of({name: site["value"] for name, site in sites.items() if not site["is_observed"]})

    def prior_codes(self, given: Given, names: list[str]) -> Tensor:
        """As many draws of the model's prior, (K, B, D), by these sites of its own."""
        with torch.no_grad():
            sites = self.prior(given)
        return codes_of({name: sites[name]["value"] for name in names})

    def updates(self, given: Given) -> Updates:
        """The updates, in the order that the class states."""
        traced = self.trace(given)
        names, likelihood = list(traced.latents), traced.total({n: traced.log_p[n] for n in traced.observed}).mean(0)
        yield Update("reconstruct", -likelihood.mean(), likelihood)
        real, fake = self.prior_codes(given, names), self.codes(given)
        on_prior, on_codes = self.judge(real), self.judge(fake.detach())
        figures = {
            "accuracy": ((on_prior > 0).float().mean() + (on_codes < 0).float().mean()) / 2,
            "logit_prior": on_prior.mean(),
            "logit_code": on_codes.mean(),
        }
        yield Update("discriminate", softplus(-on_prior).mean() + softplus(on_codes).mean(), figures=figures)
        yield Update("deceive", softplus(-self.judge(fake)).mean())
        return traced.next_state()

    def judge(self, codes: Tensor) -> Tensor:
        """D, (K, B): above 0 where it takes codes for draws of the prior."""
        assert self.networks is not None
        logits: Tensor = self.networks(codes)
        return logits.squeeze(-1)

    def epoch_figures(self, given: Given) -> dict[str, Tensor]:
        """The distances of codes to the prior, and the 95% quantiles of those of the prior to itself."""
        latents = self.trace(given).latents
        codes, prior = codes_of(latents)[0], [self.prior_codes(given, list(latents))[0] for _ in range(3)]
        distances = {"code_distance": sliced_wasserstein(codes, prior[0])}
        distances["code_distance_null"] = sliced_wasserstein_null(torch.cat(prior[1:]))
        if len(codes) > 1:
            distances["code_mmd"] = mmd(codes[:MOST_PAIRED], prior[0][:MOST_PAIRED])
            distances["code_mmd_null"] = mmd_null(torch.cat([each[:MOST_PAIRED] for each in prior[1:]]))
        return distances


def sliced_wasserstein(one: Tensor, other: Tensor, num_projections: int = 50) -> Tensor:
    """The mean over random directions of the Wasserstein-1 distance of two samples projected on them, 0-d.

        mean over unit u of (1/n) sum_i |sort(one u)_i - sort(other u)_i|

    Args:
        one: a sample, (n, d).
        other: another one, (n, d).
        num_projections: how many directions.

    References: Bonneel, Rabin, Peyre and Pfister, Sliced and Radon Wasserstein Barycenters of Measures, 2015.

    >>> sliced_wasserstein(torch.zeros(5, 1), torch.ones(5, 1))
    tensor(1.)
    """
    directions = torch.randn(one.shape[-1], num_projections, device=one.device)
    directions = directions / directions.norm(dim=0)
    gaps: Tensor = (one @ directions).sort(0).values - (other @ directions).sort(0).values
    return gaps.abs().mean()


def sliced_wasserstein_null(pool: Tensor, num_splits: int = 100, quantile: float = 0.95) -> Tensor:
    """A quantile of :func:`sliced_wasserstein` between the halves of 2n draws of one distribution, split at random, 0-d.

    Args:
        pool: (2n, d).
        num_splits: how many random splits.
        quantile: which quantile.
    """
    halves = (pool[torch.randperm(len(pool), device=pool.device)].chunk(2) for _ in range(num_splits))
    return torch.stack([sliced_wasserstein(one, other) for one, other in halves]).quantile(quantile)


def codes_of(latents: Mapping[str, Tensor]) -> Tensor:
    """All latent sites side by side, (K, B, D)."""
    return torch.cat([z.flatten(2) if z.dim() > 2 else z.unsqueeze(-1) for z in latents.values()], -1)


def discriminator(latent_dim: int, hidden: int) -> nn.Module:
    """(..., d) to a logit, (..., 1), through two hidden layers of rectified units."""
    return nn.Sequential(nn.Linear(latent_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
