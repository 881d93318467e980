"""Importance-weighted bounds: Renyi, IWAE, and Rainforth's mixtures of them; DReG as the IWAE's gradient."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyrovae.core.trace import PairTrace, trace_pair
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import bounds
from pyrovae.objectives.estimators import Estimated
from pyrovae.objectives.objective import Given, Objective, Terms, refuse_sampled
from pyrovae.objectives.stl import score_terms

__all__ = ["CIWAE", "IWAE", "MIWAE", "PIWAE", "DReG", "Renyi"]


class WeightBound(Objective):
    """A bound that is a function of the (K, B) log weights, with pathwise and score-function gradient.

    Sites drawn without reparameterization take the score function with the bound as signal (Mnih and Rezende 2016):
    unbiased, of high variance (:class:`~pyrovae.objectives.VIMCO` lowers it). Enumerated sites are summed inside each weight.
    """

    @abstractmethod
    def of(self, log_weight: Tensor, schedule: Mapping[str, Tensor]) -> Tensor:
        """The bound, (B,), of log weights, (K, B)."""

    def log_weight(self, traced: PairTrace) -> Tensor:
        """The log weights, (K, B)."""
        return traced.log_weight

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        bound, score = self.of(self.log_weight(traced), schedule), sampled_score(traced, self)
        return Terms(bound, bound if score is None else bound + bound.detach() * score.sum(0))


def sampled_score(traced: PairTrace, objective: Objective) -> Tensor | None:
    """Score of the sampled sites, (K, B); refuses those that depend on enumerated ones, inside the weight's sum."""
    score = traced.sampled_score
    if score is not None and score.dim() > 2:
        raise ContractError(
            f"site {traced.sampled[0]!r} is drawn without reparameterization for each value of an enumerated site, which "
            f"{objective!r} cannot differentiate; enumerate both, or draw both."
        )
    return score


class Renyi(WeightBound):
    """The variational Renyi bound, in nats per datum, (B,): a lower bound on log p(x) for alpha >= 0.

        L_alpha = 1/(1 - alpha) log (1/K) sum_k w_k^(1 - alpha),   w_k = p(x, z_k) / q(z_k | x)

    Right where Pyro's ``RenyiELBO`` is not: no scale inside the log-sum-exp, a gradient for sampled discrete sites, an exact
    sum over enumerated ones. For alpha < 0 the expectation may lie on either side of log p(x).

    Args:
        alpha: 0 is the IWAE, 1 the ELBO.
        num_particles: K.

    References: Li and Turner, Renyi Divergence Variational Inference, 2016.
    """

    def __init__(self, alpha: float = 0.5, num_particles: int = 10) -> None:
        super().__init__(num_particles)
        if not math.isfinite(alpha):
            raise OptionError(f"alpha is {alpha!r}; expected a finite number.")
        self.alpha = float(alpha)
        self.bound = "lower" if self.alpha >= 0 else "estimate"

    @property
    def weights(self) -> dict[str, float]:
        """alpha."""
        return {"alpha": self.alpha}

    def of(self, log_weight: Tensor, schedule: Mapping[str, Tensor]) -> Tensor:
        """The bound, (B,), in nats, of log weights, (K, B)."""
        return bounds.renyi(log_weight, schedule.get("alpha", self.alpha))


class IWAE(Estimated, WeightBound):
    """The importance weighted bound, in nats per datum, (B,): a lower bound that rises to log p(x) with K.

        L_K = log (1/K) sum_k p(x, z_k) / q(z_k | x)

    Args:
        num_particles: K.
        estimator: of discrete sites: "score" (the default), "enumerate" (summed inside each weight), "concrete",
            "straight-through", "gumbel-straight-through", "vimco" (objective ``vimco``); as for
            :class:`~pyrovae.objectives.ELBO`.
        temperature: of the soft value in "concrete" and "gumbel-straight-through"; 0.5 by default.
        prior_temperature: of the model's sites in "concrete"; by default ``temperature``.

    References: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016, Eq. (8); Maddison, Mnih and Teh, The
    Concrete Distribution, 2017, Eq. (20) (several relaxed draws).
    """

    estimators = (*Estimated.estimators, "score")
    elsewhere = {"vimco": "vimco"}

    def __init__(
        self,
        num_particles: int = 50,
        estimator: str | None = None,
        temperature: float | None = None,
        prior_temperature: float | None = None,
    ) -> None:
        super().__init__(num_particles)
        self.take_estimator(estimator, temperature, prior_temperature)

    @property
    def weights(self) -> dict[str, float]:
        """The temperatures that are on."""
        return self.temperatures

    def of(self, log_weight: Tensor, schedule: Mapping[str, Tensor]) -> Tensor:
        """The bound, (B,), in nats, of log weights, (K, B)."""
        return bounds.iwae(log_weight)


class MIWAE(WeightBound):
    """The mean of M IWAE bounds of L = K / M draws each: looser, with a less noisy gradient for the guide.

        (1/M) sum_m log (1/L) sum_l w_ml,   w_ml = p(x, z_ml) / q(z_ml | x)

    A lower bound on log p(x), in nats per datum, (B,).

    Args:
        num_particles: K, all draws together.
        num_groups: M.

    References: Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018 (MIWAE).
    """

    def __init__(self, num_particles: int = 64, num_groups: int = 8) -> None:
        super().__init__(num_particles)
        self.require("num_groups", num_groups, at_least=1)
        if num_particles % num_groups:
            raise OptionError(f"num_particles is {num_particles}; expected a multiple of num_groups, {num_groups}.")
        self.num_groups = num_groups

    def of(self, log_weight: Tensor, schedule: Mapping[str, Tensor]) -> Tensor:
        """The bound, (B,), in nats, of log weights, (K, B)."""
        return bounds.miwae(log_weight, self.num_groups)


class CIWAE(WeightBound):
    """Between the ELBO and the IWAE: a lower bound on log p(x), in nats per datum, (B,).

        beta (1/K) sum_k log w_k + (1 - beta) log (1/K) sum_k w_k,   w_k = p(x, z_k) / q(z_k | x)

    Args:
        num_particles: K.
        beta: weight of the ELBO, in [0, 1] (no weight of the KL).

    References: Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018 (CIWAE).
    """

    def __init__(self, num_particles: int = 64, beta: float = 0.5) -> None:
        super().__init__(num_particles)
        if not 0 <= beta <= 1:
            raise OptionError(f"beta is {beta!r}; expected a number from 0 to 1, the ELBO's weight.")
        self.beta = float(beta)

    @property
    def weights(self) -> dict[str, float]:
        """The ELBO's weight."""
        return {"beta": self.beta}

    def of(self, log_weight: Tensor, schedule: Mapping[str, Tensor]) -> Tensor:
        """The bound, (B,), in nats, of log weights, (K, B)."""
        return bounds.ciwae(log_weight, schedule.get("beta", self.beta))


class Gate:
    """Multiplies the gradient that a draw passes back to the guide by ``factor``, (..., K, B), set after the forward pass."""

    def __init__(self) -> None:
        self.factor: Tensor | None = None
        self.draws: dict[str, Tensor] = {}

    def __call__(self, site: Mapping[str, Any]) -> Tensor:
        draw: Tensor = site["value"]
        event_dim: int = site["fn"].event_dim
        seen = draw.view_as(draw)
        if seen.requires_grad:
            seen.register_hook(lambda grad: self.scale(grad, event_dim))
        self.draws[site["name"]] = draw
        return seen

    def scale(self, grad: Tensor, event_dim: int) -> Tensor:
        """The gradient, (..., K, B, *event), times the factor of each draw."""
        if self.factor is None:
            return grad
        factor = self.factor
        while factor.dim() > grad.dim() - event_dim:  # a draw that enumerated values share has their factors together
            factor = factor.sum(0)
        return grad * factor.reshape(factor.shape + (1,) * event_dim)


def normalized_weights(log_terms: Tensor) -> Tensor:
    """v = u / sum u over draws and enumerated values, (..., K, B), without gradient."""
    flat = log_terms.detach().flatten(0, -2).softmax(0)
    return flat.reshape(log_terms.shape)


class DReG(Objective):
    """The IWAE's bound with a doubly reparameterized gradient for the guide, whose signal stays up with K.

        model:  sum_k v_k grad log p(x, z_k),     guide:  sum_k v_k^2 (d log w_k / d z_k) grad z_k,     v = w / sum w

    The value is a lower bound on log p(x), in nats per datum, (B,). Every latent site must be reparameterized or enumerated.
    With one particle it is STL.

    Args:
        num_particles: K.

    References: Tucker, Lawson, Gu and Maddison, Doubly Reparameterized Gradient Estimators, 2019.
    """

    def __init__(self, num_particles: int = 50) -> None:
        super().__init__(num_particles)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = trace_pair(given.model, given.guide, given.batches[batch], self.num_particles, through=Gate())
        return self.admit(given, traced)

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        refuse_sampled(traced, self, "use 'vimco' or 'iwae'")
        v = normalized_weights(traced.log_terms)  # v = w / sum w
        score = score_terms(traced)
        log_w = traced.log_terms + (score - score.detach())  # d log w / d z reaches the guide through its draws alone
        traced.through.factor = v  # type: ignore[union-attr]  # a second v for what passes through a draw: v^2 in the guide
        return Terms(bounds.iwae(traced.log_weight), (v * log_w).flatten(0, -2).sum(0))


class PIWAE(Objective):
    """The IWAE bound of all K draws for the model, the MIWAE bound of M groups for the guide; reports the former.

        model:  grad log (1/K) sum_k w_k,     guide:  grad (1/M) sum_m log (1/L) sum_l w_ml,     L = K / M

    The value is a lower bound on log p(x), in nats per datum, (B,). Every latent site must be reparameterized.

    Args:
        num_particles: K, all draws together.
        num_groups: M.

    References: Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018 (PIWAE).
    """

    def __init__(self, num_particles: int = 64, num_groups: int = 8) -> None:
        MIWAE(num_particles, num_groups)  # the same options, the same errors
        super().__init__(num_particles)
        self.num_groups = num_groups

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = trace_pair(given.model, given.guide, given.batches[batch], self.num_particles, through=Gate())
        return self.admit(given, traced)

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        refuse_sampled(traced, self, "use 'vimco' or 'iwae'")
        if traced.log_terms.dim() > 2:
            raise ContractError(f"{self!r} is not defined with enumerated sites here; use 'iwae', 'miwae' or 'dreg'.")
        log_weight, gate = traced.log_weight, traced.through
        bound = bounds.iwae(log_weight)
        if not (torch.is_grad_enabled() and log_weight.requires_grad):
            return Terms(bound, bound)
        groups = log_weight.detach().unflatten(0, (self.num_groups, -1)).softmax(1).flatten(0, 1) / self.num_groups
        paths = {n: z for n, z in traced.seen.items() if z.requires_grad}  # type: ignore[union-attr]
        grads = torch.autograd.grad((groups * log_weight).sum(), list(paths.values()), retain_graph=True)
        gate.factor = torch.zeros_like(groups)  # type: ignore[union-attr]  # the model's gradient ends at the draws
        surrogate = (normalized_weights(log_weight) * traced.log_joint - groups * score_terms(traced)).sum(0)
        for name, grad in zip(paths, grads, strict=True):
            moved = grad * gate.draws[name]  # type: ignore[union-attr]
            surrogate = surrogate + moved.flatten(2).sum(2).sum(0) if moved.dim() > 2 else surrogate + moved.sum(0)
        return Terms(bound, surrogate)
