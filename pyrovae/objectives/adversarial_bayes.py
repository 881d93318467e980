"""Adversarial variational Bayes: the bound of a guide without a density, by a discriminator of codes given x."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyrovae.core.messages import no_density
from pyrovae.core.program import inputs
from pyrovae.core.run import run_program
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import PairTrace
from pyrovae.distributions.density import is_density, log_density
from pyrovae.errors import ContractError, OptionError, UnusedOptionError
from pyrovae.nets import JointMLP
from pyrovae.objectives.adversarial import codes_of
from pyrovae.objectives.checks import code_figures
from pyrovae.objectives.objective import Given, Objective, Update, Updates, refuse_sampled

__all__ = ["AVB", "moment_bias"]

CONTRASTS = ("prior", "adaptive")
USUAL_MOMENTS, LEAST_MOMENTS = 32, 4  # draws; with fewer the bias of their moments is infinite
SMALLEST_VARIANCE = 1e-8


class AVB(Objective):
    """Adversarial variational Bayes: the ELBO of a guide that is only drawn from, its KL by a discriminator T(x, z).

        pair (model, guide):  -E_q[log p(x | z) - T(x, z)]
        discriminator (T):    E_q[softplus(-T(x, z))] + E_p(z)[softplus(T(x, z))]

    At its optimum T = log q(z | x) - log p(z), whose mean is the KL and whose gradient has mean zero, so that T stands still
    in the first update (Prop. 2). Both updates are made of one draw and one T, as in Algorithm 1; -log p(z) is a term of T,
    not learned, where the prior has a density. With ``contrast="adaptive"`` codes are compared with r(z | x), the Gaussian
    of the guide's own mean and variance at x, and not with the prior:

        pair (model, guide):  -E_q[log p(x, z) - log r(z | x) - T(x, (z - mean) / sd)],   r = N(mean, sd^2)
        discriminator (T):    E_q[softplus(-T(x, (z - mean) / sd))] + E_N(0, I)[softplus(T(x, e))]

    where T = log q(z | x) - log r(z | x), which is 0 for a Gaussian guide. The moments are those of L further draws; what
    their noise adds to -log r of a Gaussian guide, 1 / L nats a dimension, is known and taken off.

    What is reported is E_q[log p(x | z) - T], in nats per datum, (B,): an **estimate** of the ELBO, on neither side of log
    p(x), too high where T is too weak to tell. Score a trained model by annealing from its prior.

    Logged beside the losses: ``kl``, the mean over the data of what T says the KL is, ``accuracy`` of T, its mean on both
    kinds of draws (``logit_code``, ``logit_contrast``), and at each epoch's end ``code_distance``, the sliced Wasserstein
    distance of codes to the prior, with ``code_distance_null``, its 95% quantile where codes are draws of the prior.

    Args:
        contrast: "prior", or "adaptive".
        hidden: width of the hidden layers of T, of exponential linear units.
        depth: how many.
        num_moments: L, by default 32; with contrast="adaptive" alone.
        num_particles: K draws a datum.

    Raises:
        ContractError: a site is drawn without reparameterization or enumerated; with ``adaptive``, a prior without a density.

    References: Mescheder, Nowozin and Geiger, Adversarial Variational Bayes, 2017, Eq. (3.3), (3.9), Algorithm 1 and Section
    4.
    """

    bound = "estimate"
    scores_guide = False
    moves = {"pair": ("model", "guide"), "discriminator": ("objective",)}
    optimizers = {"discriminator": {"name": "Adam", "betas": (0.5, 0.999)}}

    def __init__(
        self,
        contrast: str = "prior",
        hidden: int = 256,
        depth: int = 2,
        num_moments: int | None = None,
        num_particles: int = 1,
    ) -> None:
        super().__init__(num_particles)
        self.require("hidden", hidden, at_least=1)
        self.require("depth", depth, at_least=1)
        if contrast not in CONTRASTS:
            raise OptionError(f"contrast is {contrast!r}; expected 'prior' or 'adaptive'.")
        if num_moments is not None:
            self.require("num_moments", num_moments, at_least=LEAST_MOMENTS)
            if contrast == "prior":
                raise UnusedOptionError(
                    "num_moments goes with contrast='adaptive'; give that, or leave num_moments out.", "num_moments"
                )
        self.contrast, self.hidden, self.depth, self.num_moments = contrast, hidden, depth, num_moments

    @property
    def lacks_networks(self) -> bool:
        """Whether the discriminator is not made yet."""
        return self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Make T for data and codes like these, once."""
        if self.networks is None:
            z = codes_of(traced.latents)
            sizes: list[Sequence[int]] = [*(value.shape[1:] for value in self.data_of(traced)), z.shape[-1:]]
            self.networks = JointMLP(sizes, [self.hidden] * self.depth, 1, "elu").to(z.device)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = super().trace(given, batch)
        refuse_sampled(traced, self, "use 'elbo'")
        if names := [*traced.enumerated, *traced.summed_out]:
            raise ContractError(f"site {names[0]!r} is summed out, and {self!r} needs draws of all latent sites; use 'elbo'.")
        if self.contrast == "adaptive" and (message := no_density(traced, latent_only=True, model_only=True)):
            raise ContractError(f"{self!r} needs log p(z), and {message} Or use contrast='prior', which draws from it.")
        return traced

    @staticmethod
    def data_of(traced: PairTrace) -> list[Tensor]:
        """What T sees of the data: all that the model takes, (B, *shape) each."""
        assert traced.program is not None
        values = inputs(traced.program, traced.batch).values()
        return [value if value.dim() > 1 else value.unsqueeze(1) for value in values]

    def ratio(self, traced: PairTrace, codes: Tensor) -> Tensor:
        """The learned part of T, (K, B), of codes, (K, B, d)."""
        assert self.networks is not None
        logits: Tensor = self.networks(*self.data_of(traced), codes)
        return logits.squeeze(-1)

    def updates(self, given: Given) -> Updates:
        """Both updates, at the same parameters and the same draw."""
        traced = self.trace(given)
        sides = (self.against_prior if self.contrast == "prior" else self.against_moments)(given, traced)
        kl = sides.base + self.ratio(traced, sides.codes) + sides.known
        bound = (traced.log_likelihood - kl).mean(0)
        if not torch.is_grad_enabled():
            yield Update("pair", -bound.mean(), bound)
            return {}
        on_codes = self.ratio(traced, sides.codes.detach()) + sides.known.detach()
        on_contrast = self.ratio(traced, sides.contrast) + sides.known_of_contrast
        loss = softplus(-on_codes).mean() + softplus(on_contrast).mean()
        right = ((on_codes > 0).float().mean() + (on_contrast < 0).float().mean()) / 2
        figures = {"kl": kl.mean(), "accuracy": right, "logit_code": on_codes.mean(), "logit_contrast": on_contrast.mean()}
        yield Update("pair", -bound.mean(), bound), Update("discriminator", loss, figures=figures)
        return traced.next_state()

    def against_prior(self, given: Given, traced: PairTrace) -> Sides:
        """Codes against draws of the prior."""
        names = list(traced.latents)
        with torch.no_grad():
            sites = self.prior(given)
        z, drawn = codes_of(traced.latents), codes_of({name: sites[name]["value"] for name in names})
        zeros = z.new_zeros(traced.shape)
        if not all(is_density(traced.model_sites[name]["fn"]) for name in names):
            return Sides(z, zeros, drawn, zeros, zeros)
        own = {name: -log_density(sites[name]["fn"], sites[name]["value"]) for name in names}
        known = -traced.total({name: traced.log_p[name] for name in names})
        return Sides(z, known, drawn, traced.total(own).detach(), zeros)

    def against_moments(self, given: Given, traced: PairTrace) -> Sides:
        """Codes, standardized by their moments given x, against N(0, I)."""
        num = USUAL_MOMENTS if self.num_moments is None else self.num_moments
        sites = sample_sites(run_program(given.guide, traced.batch, num))
        draws = codes_of({name: sites[name]["value"] for name in traced.latents})
        mean, scale = draws.mean(0), draws.var(0).add(SMALLEST_VARIANCE).sqrt()
        z, zeros = codes_of(traced.latents), draws.new_zeros(traced.shape)
        log_r = torch.distributions.Normal(mean, scale, validate_args=False).log_prob(z).sum(-1)
        log_p = traced.total({name: traced.log_p[name] for name in traced.latents})
        base = log_r - log_p + z.shape[-1] * moment_bias(num)
        return Sides((z - mean) / scale, zeros, torch.randn_like(z), zeros, base)

    def epoch_figures(self, given: Given) -> dict[str, Tensor]:
        """The sliced Wasserstein distance of codes to the prior, and the 95% quantile of that of the prior to itself."""
        return code_figures(self, given)


class Sides(NamedTuple):
    """What T tells apart, and what of T and of the KL need not be learned.

    Attributes:
        codes: of the guide, as T sees them, (K, B, d).
        known: the part of T that is known at them, (K, B).
        contrast: draws of what they are compared with, (K, B, d).
        known_of_contrast: the known part of T at those, (K, B).
        base: log r(z | x) - log p(z), what the KL is beside T, (K, B).
    """

    codes: Tensor
    known: Tensor
    contrast: Tensor
    known_of_contrast: Tensor
    base: Tensor


def moment_bias(num: int) -> float:
    """By how much E[-log r(z)] is above the entropy of a Gaussian, r the Gaussian of the moments of L draws, in nats.

        1/2 (psi((L - 1) / 2) + log(2 / (L - 1))) + 1/2 (1 + 1/L) (L - 1) / (L - 3) - 1/2,   about 1 / L

    since (L - 1) s^2 / sigma^2 is chi-square of L - 1 degrees of freedom, and the mean has variance sigma^2 / L; of one
    dimension.

    Args:
        num: L, above 3.

    >>> round(moment_bias(100), 3)
    0.01
    """
    free = num - 1
    log_scale = (float(torch.digamma(torch.tensor(free / 2, dtype=torch.float64))) + math.log(2 / free)) / 2
    return log_scale + (1 + 1 / num) * free / (num - 3) / 2 - 0.5
