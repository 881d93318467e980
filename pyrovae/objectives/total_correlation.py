"""Objectives that weight the total correlation of the aggregate posterior: beta-TCVAE's and FactorVAE's."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyrovae.core.aggregate import (
    WEIGHTINGS,
    aggregate_scores,
    cross_scores,
    decompose,
    mixture_weights,
    refuse_dependent,
)
from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.objectives.adversarial import codes_of
from pyrovae.objectives.elbo import ELBO, MeanField
from pyrovae.objectives.objective import Given, Objective, Update, Updates, refuse_sampled

__all__ = ["Factor", "TotalCorrelation"]

KL: dict[str, type[ELBO]] = {"analytic": MeanField, "sampled": ELBO}


class Disentangling(Objective):
    """A lower bound with the KL analytic or sampled, and a weight on how dependent the dimensions of q(z) are.

    Args:
        kl: "analytic" where it has a closed form, or "sampled".
        num_particles: K.
    """

    def __init__(self, kl: str, num_particles: int) -> None:
        if kl not in KL:
            raise nearest("kl", kl, KL)
        super().__init__(num_particles)
        self.kl, self.elbo = kl, KL[kl](num_particles)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = self.elbo.trace(given, batch)
        refuse_sampled(traced, self, "use 'elbo'")
        if names := [*traced.enumerated, *traced.summed_out]:
            raise ContractError(f"site {names[0]!r} is summed out, and {self!r} needs draws of all latent sites; use 'elbo'.")
        return traced


class TotalCorrelation(Disentangling):
    """The ELBO of beta-TCVAE, its KL split in three with a weight on each.

        E_q[log p(x | z)] - alpha I(x; z) - beta TC(z) - gamma sum_j KL(q(z_j) || p(z_j))

        I  = E[log q(z | x) - log q(z)],   TC = E[log q(z) - sum_j log q(z_j)],   KL_j = E[log q(z_j) - log p(z_j)]

    q(z) is the aggregate posterior, estimated in each batch from the posteriors of its rows. What is reported is the ELBO, a
    lower bound on log p(x), in nats per datum, (B,). With all three weights 1 it is trained, too.

    The estimates of I and TC in a batch are biased by several nats, each ``weighting`` by its own, so that neither is logged;
    :func:`pyrovae.evaluation.aggregate_posterior` has them from all data.

    Args:
        alpha: weight of the mutual information.
        beta: weight of the total correlation.
        gamma: weight of the dimension-wise KL.
        weighting: of the batch in the estimate of q(z): "minibatch" as published, whose gradient is that of the plain mixture
            over the batch, or "stratified", which is unbiased in q(z), (:func:`pyrovae.core.aggregate.mixture_weights`).
        kl: "analytic" for the KL of the gamma part where it has a closed form, or "sampled".
        num_particles: K draws a datum.
        data_size: N, by default that of the data that ``fit`` trains on; needed where nothing else tells.

    References: Chen, Li, Grosse and Duvenaud, Isolating Sources of Disentanglement in Variational Autoencoders, 2018, Eq. (2),
    (4), (5) and Appendix C.1.
    """

    separable = False

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 6.0,
        gamma: float = 1.0,
        weighting: str = "minibatch",
        kl: str = "analytic",
        num_particles: int = 1,
        data_size: int | None = None,
    ) -> None:
        super().__init__(kl, num_particles)
        if data_size is not None:
            self.require("data_size", data_size, at_least=1)
        self.data_size = data_size
        for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            self.require_weight(name, value)
        if weighting not in WEIGHTINGS:
            raise nearest("weighting", weighting, WEIGHTINGS)
        self.alpha, self.beta, self.gamma, self.weighting = alpha, beta, gamma, weighting

    @property
    def weights(self) -> dict[str, float]:
        """The three weights."""
        return {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses a guide whose sites have no scores under other data."""
        traced = super().trace(given, batch)
        if not torch.is_grad_enabled():  # before training and at validation; a compiled step must not look at values
            refuse_dependent(traced)
            for name in traced.guide_sites:
                cross_scores(traced, name, slice(0, 1))
        return traced

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        bound = self.elbo.terms(traced).bound
        surrogate = self.surrogate(traced, given, bound) if torch.is_grad_enabled() else bound
        yield Update("pair", -surrogate.mean(), bound)
        return traced.next_state()

    def surrogate(self, traced: PairTrace, given: Given, bound: Tensor) -> Tensor:
        """likelihood - gamma KL - (alpha - gamma) I - (beta - gamma) TC, (B,): the objective regrouped."""
        data_size = self.data_size or given.data_size
        if data_size is None:
            raise OptionError(f"{self!r} needs N, the number of training data: train with fit, or give it data_size.")
        alpha, beta, gamma = (given.schedule.get(name, value) for name, value in self.weights.items())
        batch_size = traced.shape[1]
        weights = mixture_weights(batch_size, max(data_size, batch_size), self.weighting, bound)
        log_q = traced.total(traced.log_q)
        log_p = traced.total({name: traced.log_p[name] for name in traced.guide_sites})
        parts = {name: value.mean(0) for name, value in decompose(aggregate_scores(traced, weights), log_q, log_p).items()}
        likelihood = traced.log_likelihood.mean(0)
        kl = likelihood - bound
        mutual, correlation = parts["mutual_information"], parts["total_correlation"]
        return likelihood - gamma * kl - (alpha - gamma) * mutual - (beta - gamma) * correlation


class Factor(Disentangling):
    """The objective of FactorVAE: the ELBO less gamma times the total correlation, by a discriminator's density ratio.

        pair (model, guide):  -(ELBO - gamma E_q[D(z)])
        discriminator (D):    1/2 E_q(z)[softplus(-D(z))] + 1/2 E_product[softplus(D(z))]

    D is trained to tell draws of q(z) from draws of the product of its marginals, which are codes of a second batch with each
    dimension permuted over the data; its logit is then log q(z) - sum_j log q(z_j), whose mean is TC. Both updates are made of
    one draw and one D, as in Algorithm 2. What is reported is the ELBO, a lower bound on log p(x), in nats per datum, (B,).

    Logged: both losses; ``ratio_tc``, the mean logit, which estimates TC from below where D is weak and may be negative; and
    the ``accuracy`` of D.

    Args:
        gamma: weight of the total correlation.
        hidden: width of the hidden layers of D.
        depth: how many hidden layers, of leaky rectified units.
        kl: "analytic" where it has a closed form, or "sampled".
        num_particles: K draws a datum; dimensions are permuted within a particle.

    References: Kim and Mnih, Disentangling by Factorising, 2018, Eq. (2), (3) and Algorithm 2.
    """

    moves = {"pair": ("model", "guide"), "discriminator": ("objective",)}
    optimizers = {"discriminator": {"name": "Adam", "lr": 1e-4, "betas": (0.5, 0.9)}}
    num_batches = 2

    def __init__(
        self, gamma: float = 10.0, hidden: int = 1000, depth: int = 6, kl: str = "analytic", num_particles: int = 1
    ) -> None:
        super().__init__(kl, num_particles)
        self.require_weight("gamma", gamma)
        self.require("hidden", hidden, at_least=1)
        self.require("depth", depth, at_least=1)
        self.gamma, self.hidden, self.depth = gamma, hidden, depth

    @property
    def weights(self) -> dict[str, float]:
        """The weight of the total correlation."""
        return {"gamma": self.gamma}

    @property
    def lacks_networks(self) -> bool:
        """Whether the discriminator is not made yet."""
        return self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Make the discriminator for codes like these, once."""
        if self.networks is None:
            z = codes_of(traced.latents)
            widths = [z.shape[-1], *[self.hidden] * self.depth]
            layers = [part for one, other in pairwise(widths) for part in (nn.Linear(one, other), nn.LeakyReLU(0.2))]
            self.networks = nn.Sequential(*layers, nn.Linear(self.hidden, 1)).to(z)

    def updates(self, given: Given) -> Updates:
        """Both updates, at the same parameters and the same draw."""
        traced = self.trace(given)
        bound = self.elbo.terms(traced).bound
        if not torch.is_grad_enabled():
            yield Update("pair", -bound.mean(), bound)
            return {}
        z, product = codes_of(traced.latents), permuted(codes_of(self.trace(given, 1).latents).detach())
        correlation = self.ratio(z)
        on_joint, on_product = self.ratio(z.detach()), self.ratio(product)
        gamma = given.schedule.get("gamma", self.gamma)
        loss = (softplus(-on_joint).mean() + softplus(on_product).mean()) / 2
        right = ((on_joint > 0).float().mean() + (on_product < 0).float().mean()) / 2
        yield (
            Update("pair", -(bound - gamma * correlation.mean(0)).mean(), bound),
            Update("discriminator", loss, figures={"ratio_tc": on_joint.mean(), "accuracy": right}),
        )
        return traced.next_state()

    def ratio(self, codes: Tensor) -> Tensor:
        """D, the logit, (K, B): log q(z) - sum_j log q(z_j) where it is trained."""
        assert self.networks is not None
        logits: Tensor = self.networks(codes)
        return logits.squeeze(-1)


def permuted(codes: Tensor) -> Tensor:
    """Each dimension of codes, (K, B, d), permuted over the data by itself: a draw of the product of the marginals."""
    order = torch.rand_like(codes).argsort(1)
    return codes.gather(1, order)
