"""Objectives that compare the codes of a batch with draws of the prior: the Wasserstein autoencoder and InfoVAE."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError, OptionError, UnusedOptionError, nearest
from pyrovae.objectives.adversarial import AAE, codes_of, sliced_wasserstein
from pyrovae.objectives.checks import code_figures
from pyrovae.objectives.discrepancy import KERNELS, mmd
from pyrovae.objectives.objective import Given, Objective, Update, Updates, refuse_sampled
from pyrovae.objectives.total_correlation import Disentangling

__all__ = ["WAE", "WAEGAN", "InfoVAE"]

DIVERGENCES = (*KERNELS, "sliced-wasserstein")


class CodeDivergence:
    """How far codes are from draws of the prior, as a loss: a squared MMD by a kernel, or the sliced Wasserstein distance.

    Args:
        name: "imq" or "gaussian", the kernel (:func:`pyrovae.objectives.discrepancy.kernel`), or "sliced-wasserstein".
        width: of the kernel.
    """

    def __init__(self, name: str, width: float | None) -> None:
        if name not in DIVERGENCES:
            raise nearest("divergence of codes", name, DIVERGENCES)
        if width is not None and name not in KERNELS:
            raise UnusedOptionError(f"width is {width!r}, and {name} has no kernel; leave it out.", "width")
        if width is not None and (isinstance(width, (bool, str)) or not 0 < width < math.inf):
            raise OptionError(f"width is {width!r}; expected a number above 0, the standard deviation that codes have.")
        self.name, self.width = name, width

    def __call__(self, codes: Tensor, prior: Tensor) -> Tensor:
        """The divergence of codes, (K, B, d), from as many draws, 0-d: the mean of those of the K particles.

        Particles of one datum are draws of one posterior, so that pairs of them are no pairs of draws of q(z). A batch of one
        row has no pairs at all: 0.
        """
        if codes.shape[1] < 2:
            return codes.sum() * 0
        if self.name in KERNELS:
            found = [mmd(one, other, self.name, self.width) for one, other in zip(codes, prior, strict=True)]
        else:
            found = [sliced_wasserstein(one, other) for one, other in zip(codes, prior, strict=True)]
        return torch.stack(found).mean()


class WAE(Objective):
    """The Wasserstein autoencoder: reconstruction, and codes whose distribution over the data is the prior.

        minimized:  -E_q[log p(x | z)] + weight D(q(z), p(z)),   q(z) = E_data[q(z | x)]

    D is estimated in each batch from its codes and as many draws of the model's own prior: without bias for the squared MMD,
    which may then be below 0. It says nothing of q(z | x), so that the guide may be a point. What is reported is
    E_q[log p(x | z)], in nats per datum, (B,), **no** bound on log p(x). A batch of one row trains by it alone.

    Logged: ``divergence``, D of the batch; at each epoch's end the distances of codes to the prior that ``aae`` logs.

    Args:
        weight: of D, in nats; lambda of the paper, which has it beside a squared error, is twice it with a Gaussian likelihood
            of scale 1.
        divergence: D, the squared MMD by the kernel "imq" or "gaussian", or "sliced-wasserstein" (of first order, biased
            upwards in a batch).
        width: of the kernel, the standard deviation of codes; by default 1 for "imq" and sqrt(d) for "gaussian".
        num_particles: K; D is the mean of those of the particles.

    References: Tolstikhin, Bousquet, Gelly and Schoelkopf, Wasserstein Auto-Encoders, 2018, Eq. (4) and Algorithm 2; Kolouri,
    Pope, Martin and Rohde, Sliced-Wasserstein Autoencoder, 2018 (the sliced distance).
    """

    bound = "none"
    separable = False

    def __init__(
        self, weight: float = 100.0, divergence: str = "imq", width: float | None = None, num_particles: int = 1
    ) -> None:
        super().__init__(num_particles)
        self.require_weight("weight", weight)
        self.between = CodeDivergence(divergence, width)
        self.weight, self.divergence, self.width = weight, divergence, width

    @property
    def weights(self) -> dict[str, float]:
        """That of the divergence."""
        return {"weight": self.weight}

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = super().trace(given, batch)
        refuse_sampled(traced, self, "give the site a deterministic or reparameterized distribution")
        if names := [*traced.enumerated, *traced.summed_out]:
            raise ContractError(f"site {names[0]!r} is summed out, and {self!r} compares draws of it; use 'elbo'.")
        return traced

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        likelihood = traced.total({name: traced.log_p[name] for name in traced.observed}).mean(0)
        divergence = self.between(*codes_and_draws(self, given, traced))
        loss = given.schedule.get("weight", self.weight) * divergence - likelihood.mean()
        yield Update("pair", loss, likelihood, figures={"divergence": divergence})
        return traced.next_state()

    def epoch_figures(self, given: Given) -> dict[str, Tensor]:
        """The distances of codes to the prior, and the 95% quantiles of those of the prior to itself."""
        return code_figures(self, given)


class WAEGAN(AAE):
    """The Wasserstein autoencoder whose divergence is a discriminator's, D, which sees the codes that the pair then moves.

        discriminate (D):      E_p(z)[softplus(-D(z))] + E_q(z)[softplus(D(z))]
        pair (model, guide):   -E_q[log p(x | z)] + weight E_q(z)[softplus(-D(z))]

    Two updates in this order, of one draw of codes; ``aae`` makes three, of two draws, and deceives without a weight. What is
    reported is E_q[log p(x | z)], in nats per datum, (B,), **no** bound on log p(x). Logged is what ``aae`` logs.

    Args:
        weight: of the deception; lambda of the paper.
        hidden: width of the two hidden layers of D, of rectified units.
        num_particles: K; codes are K draws a datum.

    References: Tolstikhin, Bousquet, Gelly and Schoelkopf, Wasserstein Auto-Encoders, 2018, Eq. (4) and Algorithm 1.
    """

    moves = {"discriminate": ("objective",), "pair": ("model", "guide")}
    optimizers = {"discriminate": {"name": "Adam", "betas": (0.5, 0.999)}}

    def __init__(self, weight: float = 100.0, hidden: int = 512, num_particles: int = 1) -> None:
        super().__init__(hidden, num_particles=num_particles)
        self.require_weight("weight", weight)
        self.weight = weight

    @property
    def weights(self) -> dict[str, float]:
        """That of the deception."""
        return {"weight": self.weight}

    def updates(self, given: Given) -> Updates:
        """The updates, in the order that the class states."""
        traced = self.trace(given)
        likelihood = traced.total({name: traced.log_p[name] for name in traced.observed}).mean(0)
        fake = codes_of(traced.latents)
        on_prior, on_codes = self.judge(self.prior_codes(given, list(traced.latents))), self.judge(fake.detach())
        figures = {
            "accuracy": ((on_prior > 0).float().mean() + (on_codes < 0).float().mean()) / 2,
            "logit_prior": on_prior.mean(),
            "logit_code": on_codes.mean(),
        }
        yield Update("discriminate", softplus(-on_prior).mean() + softplus(on_codes).mean(), figures=figures)
        deception = softplus(-self.judge(fake)).mean()
        loss = given.schedule.get("weight", self.weight) * deception - likelihood.mean()
        yield Update("pair", loss, likelihood, figures={"deception": deception})
        return traced.next_state()


class InfoVAE(Disentangling):
    """The ELBO with a weight on what its KL says of each datum, and another on what it says of all codes together.

        maximized:  E_q[log p(x | z)] - (1 - alpha) KL(q(z | x) || p(z)) - (alpha + weight - 1) D(q(z), p(z))

    It is Eq. (6) of the paper, whose D is the KL, with a divergence in its place that draws of q(z) tell (as in ``wae``); with
    the KL it is objective ``tc`` with 1 - alpha as its alpha, and weight as its beta and gamma. At alpha = 0 and weight = 1 it
    is the VAE, with 1 - alpha = weight beta-VAE, and at alpha = 1 ``wae`` of that weight, called MMD-VAE.

    What is reported is the ELBO, a lower bound on log p(x), in nats per datum, (B,), whatever the weights, so that a guide
    without a density is refused. Logged: ``trained``, the mean of what is maximized, in expectation a lower bound on log p(x)
    for alpha <= 0 alone, and **no** bound for alpha above it, where part of the KL is not paid for; ``divergence``, D of the
    batch, where it has a weight; at each epoch's end the distances of codes to the prior that ``aae`` logs.

    Args:
        alpha: at most 1; the weight of the mutual information of x and z that is given back.
        weight: lambda of the paper, of the whole distance of q(z) from the prior; at least 1 - alpha.
        divergence: D, the squared MMD by the kernel "imq" or "gaussian", or "sliced-wasserstein".
        width: of the kernel, the standard deviation of codes; by default 1 for "imq" and sqrt(d) for "gaussian".
        kl: "analytic" where it has a closed form, or "sampled".
        num_particles: K draws a datum; D is the mean of those of the particles.

    References: Zhao, Song and Ermon, InfoVAE: Balancing Learning and Inference in Variational Autoencoders, 2019, Eq. (6) and
    Section 3.
    """

    separable = False

    def __init__(
        self,
        alpha: float = 0.0,
        weight: float = 100.0,
        divergence: str = "imq",
        width: float | None = None,
        kl: str = "analytic",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl, num_particles)
        self.require_weight("weight", weight)
        if isinstance(alpha, (bool, str)) or not -math.inf < alpha <= 1:
            raise OptionError(f"alpha is {alpha!r}; expected a number of at most 1, since 1 - alpha is the weight of the KL.")
        if alpha + weight < 1:
            raise OptionError(
                f"alpha is {alpha!r} and weight {weight!r}: the divergence would have the weight alpha + weight - 1 = "
                f"{alpha + weight - 1:g}, which rewards codes that are unlike the prior; give weight at least {1 - alpha:g}."
            )
        self.between = CodeDivergence(divergence, width)
        self.alpha, self.weight, self.divergence, self.width = alpha, weight, divergence, width

    @property
    def weights(self) -> dict[str, float]:
        """The two weights."""
        return {"alpha": self.alpha, "weight": self.weight}

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        bound = self.elbo.terms(traced).bound
        alpha, weight = (given.schedule.get(name, value) for name, value in self.weights.items())
        divergence = self.between(*codes_and_draws(self, given, traced))
        kl = traced.log_likelihood.mean(0) - bound
        surrogate = (bound + alpha * kl).mean() - (alpha + weight - 1) * divergence  # bitwise the bound at alpha 0, weight 1
        yield Update("pair", -surrogate, bound, figures={"divergence": divergence, "trained": surrogate})
        return traced.next_state()

    def epoch_figures(self, given: Given) -> dict[str, Tensor]:
        """The distances of codes to the prior, and the 95% quantiles of those of the prior to itself."""
        return code_figures(self, given)


def codes_and_draws(objective: Objective, given: Given, traced: PairTrace) -> tuple[Tensor, Tensor]:
    """Codes of the batch, and draws of the model's own prior without a gradient, (K, B, d) each, all sites side by side."""
    with torch.no_grad():
        sites = objective.prior(given)
    return codes_of(traced.latents), codes_of({name: sites[name]["value"] for name in traced.latents})
