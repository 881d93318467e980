"""The score function with baselines, one of each layer of latents: NVIL and REINFORCE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pyrovae.core.dependence import downstream, score_dependence
from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError, OptionError, UnusedOptionError
from pyrovae.nets import as_float
from pyrovae.objectives import bounds
from pyrovae.objectives.elbo import ELBO
from pyrovae.objectives.importance import sampled_score
from pyrovae.objectives.objective import Given, Terms

__all__ = ["NVIL"]


class NVIL(ELBO):
    """The ELBO with score-function gradient, its signal centred by baselines: "none" is REINFORCE.

        signal_i = L_i - c_i - C_i(x, parents of z_i), divided by max(1, its running standard deviation)

    Each site z_i that is drawn without reparameterization has its own: L_i is log w less the terms that neither z_i nor what
    is drawn from it enters, c_i a running average, C_i a network of the data and of the draws that q(z_i | .) reads, trained
    to predict the signal. Terms that are left out and baselines change no expectation; the division changes the length of each
    site's gradient. The value is a lower bound on log p(x), in nats per datum, (B,).

    Args:
        num_particles: K, over which the mean is taken.
        baseline: "none", "average" (c) or "network" (c and C).
        hidden: size of the hidden layer of each C.
        decay: of the running averages.
        normalize: whether the signals are divided; without it the gradient is unbiased.

    References: Mnih and Gregor, Neural Variational Inference and Learning in Belief Networks, 2014, Section 2.3.
    """

    weights_kl = False
    takes_guide_factors = False
    weights: dict[str, float] = {}  # none of the ELBO's

    def __init__(
        self,
        num_particles: int = 1,
        baseline: str = "network",
        hidden: int = 100,
        decay: float = 0.8,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_particles)
        if baseline not in ("none", "average", "network"):
            raise OptionError(f"baseline is {baseline!r}; expected 'none', 'average' or 'network'.")
        if not 0 <= decay < 1:
            raise OptionError(f"decay is {decay!r}; expected a number from 0 up to 1.")
        self.require("hidden", hidden, at_least=1)
        if not normalize and baseline == "none":
            raise UnusedOptionError("normalize=False goes with a baseline, and baseline is 'none'; leave it out.", "normalize")
        self.baseline, self.hidden, self.decay, self.normalize = baseline, hidden, decay, normalize

    @property
    def lacks_networks(self) -> bool:
        """Whether the baselines are not made yet."""
        return self.baseline != "none" and self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Make the baselines for data and sites of these shapes, once."""
        if not self.lacks_networks:
            return
        self.require_score(traced)
        x, hidden = traced.data, self.hidden if self.baseline == "network" else None
        size = math.prod(x.shape[1:])
        if len(traced.sampled) == 1:
            self.networks = Baselines(size, hidden).to(x.device)
            return
        made = []
        for own in signals(traced):
            sizes = [math.prod(traced.latents[name].shape[2:]) for name in own.parents]
            made.append(Baselines(size + sum(sizes), hidden, own))
        self.networks = nn.ModuleList(made).to(x.device)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = super().trace(given, batch)
        self.require_score(traced)
        return traced

    def require_score(self, traced: PairTrace) -> Tensor:
        """Sum of log q of the sampled sites, (K, B); ContractError where there are none."""
        score = sampled_score(traced, self)
        if score is None:
            raise ContractError("no latent site is drawn without reparameterization, so nvil has nothing to do: use 'elbo'.")
        return score

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        self.build(traced)
        score = self.require_score(traced)
        log_weight = traced.log_weight
        bound = bounds.elbo(log_weight)
        path = log_weight + (score - score.detach())  # E[grad log q] = 0
        if self.networks is None:
            return Terms(bound, (path + log_weight.detach() * score).mean(0))
        networks = [part for part in self.networks.modules() if isinstance(part, Baselines)]
        surrogate = path.mean(0)
        state: dict[Tensor, Tensor] = {}
        for name, own in zip(traced.sampled, networks, strict=True):
            reached = log_weight.detach() - traced.total(own.left_out(traced)).detach()
            signal, loss, moved = own(own.inputs(traced), reached, self.decay, self.normalize)
            surrogate = surrogate + (signal * traced.log_q[name]).mean(0) - loss
            state |= moved
        return Terms(bound, surrogate, state)


class Signal(NamedTuple):
    """What is a site's own: the sites that it is drawn from, and the terms of log w that it does not reach.

    Attributes:
        parents: names of the draws that q(z_i | .) reads, in their order.
        model: sites whose log p is left out.
        guide: sites whose log q is left out.
    """

    parents: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    guide: tuple[str, ...] = ()


def signals(traced: PairTrace) -> list[Signal]:
    """Of each site that is drawn without reparameterization, in their order."""
    of_model, of_guide = score_dependence(traced)
    found, order = [], list(traced.guide_sites)
    for name in traced.sampled:
        reached = downstream(name, of_guide)
        parents = [other for other in order[: order.index(name)] if other in of_guide[name]]
        weighed = [other for other, site in traced.model_sites.items() if site["is_observed"] or other in traced.guide_sites]
        model = [other for other in weighed if not of_model[other] & reached]
        guide = [other for other, reads in of_guide.items() if not reads & reached]
        found.append(Signal(tuple(parents), tuple(model), tuple(guide)))
    return found


class Baselines(nn.Module):
    """c, C, and the running variance of the centred signal, of one site.

    Args:
        size: of C's input.
        hidden: size of C's hidden layer; None for no C.
        own: what the site is drawn from, and what it does not reach.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, size: int, hidden: int | None, own: Signal | None = None) -> None:
        super().__init__()
        self.own = own or Signal()
        layers = None if hidden is None else (nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.network = None if layers is None else nn.Sequential(*layers)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("variance", torch.zeros(()))
        self.register_buffer("count", torch.zeros(()))

    def left_out(self, traced: PairTrace) -> dict[str, Tensor]:
        """The terms of log w that the site does not reach, (K, B) each."""
        found = {name: traced.log_p[name] for name in self.own.model}
        return found | {f"{name} of the guide": -traced.log_q[name] for name in self.own.guide}

    def inputs(self, traced: PairTrace) -> Tensor:
        """What C sees: the data, (B, D), or beside the draws of the parents, (K, B, D + d)."""
        x = as_float(traced.data.flatten(1))
        if not self.own.parents:
            return x
        above = [traced.latents[name].detach().flatten(2) for name in self.own.parents]
        return torch.cat([x.to(above[0].dtype).expand(*above[0].shape[:-1], -1), *above], -1)

    def forward(
        self, inputs: Tensor, signal: Tensor, decay: float, normalize: bool = True
    ) -> tuple[Tensor, Tensor, dict[Tensor, Tensor]]:
        """The centred, scaled signal (K, B) without gradient, the loss (B,) of the network, and the averages' new values."""
        predicted = 0.0 if self.network is None else self.network(inputs).squeeze(-1)
        # averages from before this batch: a draw must not meet its own signal in its baseline
        unbias = (1 - decay**self.count).clamp_min(1e-8)
        residual = signal - self.mean / unbias - predicted
        centred = residual.detach()
        scale = (self.variance / unbias).sqrt().clamp_min(1.0) if normalize else torch.ones_like(unbias)
        state = {
            self.mean: self.mean.lerp(signal.mean(), 1 - decay),
            self.variance: self.variance.lerp(centred.var(unbiased=False), 1 - decay),
            self.count: self.count + 1,
        }
        return centred / scale, residual.square().mean(0), state
