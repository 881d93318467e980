"""Objectives with a discriminator of their own: the adversarial autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import PairTrace, run_program, trace_pair
from pyrovae.distributions.planar import class_draws, classes_of
from pyrovae.effects.softened import OneHotDraws, Softened
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
    own draws, whatever has no density too. What is scored is what the model observes: neither log p nor log q of a code is
    ever asked for, so that the guide may be a point, and a one-hot site of it goes on as its probabilities, a point of the
    simplex (:class:`~pyrovae.effects.softened.Softened`). What is reported is E_q[log p(x | z)], in nats per datum, **no**
    bound on log p(x).

    With ``num_classes`` D is told the class: D(z, y), y of C classes or unknown, where a draw of the prior for class c comes
    from the c-th mode of a mixture, or the c-th slice of a :class:`~pyrovae.distributions.SwissRoll`, and from all of it where
    the label is -1.

    Logged beside the losses: ``accuracy`` of the discriminator, ``logit_prior`` and ``logit_code`` (mean D of both), and at
    each epoch's end ``code_distance``, the sliced Wasserstein distance of codes to the prior, with ``code_distance_null``, the
    95% quantile that it has where the codes are draws of the prior; ``code_mmd`` and ``code_mmd_null`` are the same of the
    squared maximum mean discrepancy, by inverse multiquadratics, of at most 1,000 codes. Neither asks the discriminator. With
    ``num_classes`` also ``code_in_class``, the share of labelled data whose code lies in the part of the prior of its class.

    Args:
        hidden: width of the two hidden layers of D, of rectified units.
        num_classes: C, of a discriminator that is told the class ``y`` of the batch.
        noise: standard deviation of Gaussian noise on what D sees of codes and draws.
        num_particles: K; codes are K draws a datum.

    Raises:
        ContractError: a site without a differentiable draw; with ``num_classes`` no ``y``, or several latent sites.
        OptionError: with ``num_classes``, a prior without as many parts.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Section 2 and Figure 3 (labels);
    Goodfellow et al., Generative Adversarial Nets, 2014, Section 3 (the loss of "deceive", which does not saturate).
    """

    bound = "none"
    scores_guide = scores_latents = False
    moves: Mapping[str, Sequence[str]] = {
        "reconstruct": ("model", "guide"),
        "discriminate": ("objective",),
        "deceive": ("guide",),
    }
    optimizers = {
        "discriminate": {"name": "Adam", "betas": (0.5, 0.999)},
        "deceive": {"name": "Adam", "betas": (0.5, 0.999)},
    }

    def __init__(self, hidden: int = 1000, num_classes: int | None = None, noise: float = 0.0, num_particles: int = 1) -> None:
        super().__init__(num_particles)
        self.require("hidden", hidden, at_least=1)
        if num_classes is not None:
            self.require("num_classes", num_classes, at_least=2)
        self.require_weight("noise", noise)
        self.hidden, self.num_classes, self.noise = hidden, num_classes, noise

    @property
    def lacks_networks(self) -> bool:
        """Whether the discriminator is not made yet."""
        return self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Make the discriminator for codes like these, once."""
        if self.networks is None:
            z = codes_of(traced.latents)
            told = 0 if self.num_classes is None else self.num_classes + 1
            self.networks = discriminator(z.shape[-1] + told, self.hidden).to(z.device)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = trace_pair(given.model, Softened(given.guide), given.batches[batch], self.num_particles)
        for name, site in traced.guide_sites.items():
            if not (site["fn"].has_rsample and site["value"].is_floating_point()) or name in traced.enumerated:
                raise ContractError(
                    f"site {name!r} ({site['fn']}) is no differentiable draw, and {self!r} moves the guide through its codes; "
                    "give the site a deterministic or reparameterized distribution."
                )
        if self.num_classes is not None:
            known_labels(given.batches[batch], repr(self))
            if len(traced.latents) > 1:
                raise ContractError(
                    f"num_classes of {self!r} is of one latent site; the pair has {', '.join(traced.latents)}."
                )
        return self.admit(given, traced)

    def codes(self, given: Given) -> dict[str, Tensor]:
        """Codes of the batch by the guide alone, (K, B, *event) a latent site."""
        sites = sample_sites(run_program(Softened(given.guide), given.batch, self.num_particles))
        return {name: site["value"] for name, site in sites.items() if not site["is_observed"]}

    def draws(self, given: Given, names: Sequence[str]) -> dict[str, Tensor]:
        """As many draws of the model's prior, (K, B, *event) for each of these sites of its own."""
        with torch.no_grad(), OneHotDraws():
            sites = self.prior(given)
            if self.num_classes is None:
                return {name: sites[name]["value"] for name in names}
            y = known_labels(given.batch, repr(self))
            return {name: class_draws(sites[name]["fn"], y, self.num_classes) for name in names}

    def judged(self, values: Mapping[str, Tensor], given: Given) -> dict[str, Tensor]:
        """What each discriminator sees of codes or draws, (K, B, D): of the one that there is, all sites side by side."""
        codes = noisy(codes_of(values), self.noise)
        if self.num_classes is None:
            return {"": codes}
        y = known_labels(given.batch, repr(self)).unsqueeze(-1)
        told = (y.where(y >= 0, self.num_classes) == torch.arange(self.num_classes + 1, device=y.device)).to(codes)
        return {"": torch.cat([codes, told.expand(*codes.shape[:-1], -1)], -1)}

    def updates(self, given: Given) -> Updates:
        """The updates, in the order that the class states."""
        traced = self.trace(given)
        names, likelihood = list(traced.latents), traced.total({n: traced.log_p[n] for n in traced.observed}).mean(0)
        yield Update("reconstruct", -likelihood.mean(), likelihood)
        real = self.judged(self.draws(given, names), given)
        fake = self.judged(self.codes(given), given)
        losses, figures = [], {}
        for name in real:
            on_prior, on_codes = self.judge(real[name], name), self.judge(fake[name].detach(), name)
            losses.append(softplus(-on_prior).mean() + softplus(on_codes).mean())
            end = f"_{name}" if name else ""
            figures[f"accuracy{end}"] = ((on_prior > 0).float().mean() + (on_codes < 0).float().mean()) / 2
            figures |= {f"logit_prior{end}": on_prior.mean(), f"logit_code{end}": on_codes.mean()}
        yield Update("discriminate", torch.stack(losses).sum(), figures=figures)
        yield Update("deceive", torch.stack([softplus(-self.judge(fake[name], name)).mean() for name in fake]).sum())
        return traced.next_state()

    def judge(self, codes: Tensor, name: str = "") -> Tensor:
        """D, (K, B): above 0 where it takes codes for draws of the prior."""
        assert self.networks is not None
        logits: Tensor = (self.networks[name] if name else self.networks)(codes)  # type: ignore[index]
        return logits.squeeze(-1)

    def epoch_figures(self, given: Given) -> dict[str, Tensor]:
        """The distances of codes to the prior, and the 95% quantiles of those of the prior to itself."""
        traced = self.trace(given)
        codes, prior = codes_of(traced.latents)[0], [self.prior_codes(given, list(traced.latents))[0] for _ in range(3)]
        distances = {"code_distance": sliced_wasserstein(codes, prior[0])}
        distances["code_distance_null"] = sliced_wasserstein_null(torch.cat(prior[1:]))
        if len(codes) > 1:
            distances["code_mmd"] = mmd(codes[:MOST_PAIRED], prior[0][:MOST_PAIRED])
            distances["code_mmd_null"] = mmd_null(torch.cat([each[:MOST_PAIRED] for each in prior[1:]]))
        if self.num_classes is not None:
            ((name, z),) = traced.latents.items()
            y = known_labels(given.batch, repr(self))
            right = (classes_of(traced.model_sites[name]["fn"], z, self.num_classes) == y) & (y >= 0)
            distances["code_in_class"] = right.float().mean(0).sum() / (y >= 0).sum().clamp_min(1)
        return distances

    def prior_codes(self, given: Given, names: Sequence[str]) -> Tensor:
        """Draws of the whole prior, (K, B, D), whatever the labels, by these sites of the model's own side by side."""
        with torch.no_grad():
            sites = self.prior(given)
        return codes_of({name: sites[name]["value"] for name in names})


def known_labels(batch: Mapping[str, Tensor], who: str) -> Tensor:
    """``y`` of a batch, (B,), -1 where it is unknown; ContractError where the batch has none."""
    if "y" not in batch:
        raise ContractError(f"{who} needs y in the batch, (B,): a label, or -1 where there is none; the data lack y.")
    return batch["y"]


def noisy(codes: Tensor, scale: float) -> Tensor:
    """Codes with Gaussian noise of that standard deviation on them; at 0 as they are."""
    return codes if scale == 0 else codes + scale * torch.randn_like(codes)


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
