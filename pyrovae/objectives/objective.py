"""The objectives of the foundation: ELBO, mean-field ELBO, IWAE and Renyi, as Pyro ELBOs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyro.infer
from torch import Tensor
from torch.distributions import kl_divergence

from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import bounds
from pyrovae.pair import Program
from pyrovae.trace import PairTrace, is_reparameterized, mask_scores, trace_pair, unknown_sites

__all__ = ["ELBO", "IWAE", "MeanField", "Objective", "Renyi", "Terms"]


class Terms(NamedTuple):
    """What an objective makes of a trace, per datum: (B,) tensors in nats.

    ``bound`` is the value to report; ``surrogate`` is what to differentiate, whose value means nothing.
    """

    bound: Tensor
    surrogate: Tensor


class Objective(pyro.infer.ELBO):
    """A bound on log p(x) per datum with a gradient estimator; a drop-in for Pyro's ELBOs.

    ``loss(model, guide, **batch)`` is minus the bound summed over the batch, as in Pyro; a scale that all sites share
    (N/B of a subsampled plate) multiplies it, and never enters a log-sum-exp.
    """

    bound: str = "lower"  # on which side of log p(x) its expectation lies: lower, upper, or estimate when neither
    weights_kl: bool = False  # whether beta (KL warm-up) is right for it

    def __init__(self, num_particles: int = 1) -> None:
        if not isinstance(num_particles, int) or num_particles < 1:
            raise OptionError(f"num_particles is {num_particles!r}; expected a whole number of at least 1.")
        super().__init__(num_particles=num_particles, max_plate_nesting=1, vectorize_particles=True)

    def options(self) -> dict[str, Any]:
        """The options that rebuild the objective."""
        return {"num_particles": self.num_particles}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.options().items())})"

    @abstractmethod
    def terms(self, traced: PairTrace, beta: float | Tensor = 1.0) -> Terms:
        """The bound and its surrogate from a trace of K particles; beta weights the KL in the surrogate only."""

    def trace(self, model: Program, guide: Program, batch: Mapping[str, Tensor]) -> PairTrace:
        """Trace the pair with K particles; refuses what this objective would get wrong."""
        traced = trace_pair(model, guide, batch, self.num_particles)
        for name, site in traced.guide_sites.items():
            if site["infer"].get("enumerate") is not None:
                raise ContractError(
                    f"site {name!r} asks to be enumerated, which objective {type(self).__name__} does not do; use "
                    "pyro.infer.TraceEnum_ELBO(max_plate_nesting=1), or take the mark off to have it sampled."
                )
        if message := unknown_sites(model, guide, traced):
            raise ContractError(message)
        return traced

    # -------------------------------------------------------------------------------------- the face of a Pyro ELBO
    def _get_trace(self, model: Program, guide: Program, args: tuple, kwargs: dict) -> PairTrace:
        if args:
            raise ContractError(f"{type(self).__name__} takes the batch by name, model(**batch), as in model(x=x).")
        return self.trace(model, guide, kwargs)

    def differentiable_loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        """Minus the scaled bound summed over the batch, with the estimator's gradient."""
        traced = self._get_trace(model, guide, args, kwargs)
        bound, surrogate = self.terms(traced)
        surrogate = surrogate.sum()
        return -traced.scale * (bound.detach().sum() + (surrogate - surrogate.detach()))

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """Minus the scaled bound summed over the batch, in nats."""
        return float(self.differentiable_loss(model, guide, *args, **kwargs).detach())

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """:meth:`loss`, having added its gradient to the parameters'."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())


class ELBO(Objective):
    """E_q[log p(x, z) - log q(z | x)], sampled; any site, any guide.

    Reparameterized sites take the pathwise gradient, the others the score function of Ranganath et al. (2014) with the
    datum's own log weight as its signal: value and gradient of :class:`pyro.infer.Trace_ELBO`.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Eq. (2) and (5).
    """

    weights_kl = True

    def terms(self, traced: PairTrace, beta: float | Tensor = 1.0) -> Terms:
        likelihood = traced.total({n: traced.log_p[n] for n in traced.observed})
        prior = traced.total({n: s for n, s in traced.log_p.items() if n not in traced.observed})
        entropy = traced.total({n: s for n, s in traced.log_q.items() if is_reparameterized(traced.guide_sites[n])})
        surrogate = likelihood + beta * (prior - entropy)
        score = traced.sampled_score
        if score is not None:
            # E[grad log q] = 0, so a sampled site's own log q appears only inside its signal
            signal = surrogate - beta * score
            surrogate = surrogate + signal.detach() * score
        return Terms(bounds.elbo(traced.log_weight), surrogate.mean(0))


class MeanField(Objective):
    """E_q[log p(x | z)] - sum over sites of KL(q || p), analytic where that is right and registered, sampled elsewhere.

    The value and gradient of :class:`pyro.infer.TraceMeanField_ELBO`, but for sites whose analytic KL would be wrong: where
    a site comes after another in the model and before it in the guide, its prior may depend on a draw that depends on its
    own, and Pyro only warns. Every latent site must be reparameterized.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Eq. (3) and (7).
    """

    weights_kl = True

    def terms(self, traced: PairTrace, beta: float | Tensor = 1.0) -> Terms:
        likelihood = traced.total({n: traced.log_p[n] for n in traced.observed}).mean(0)
        kl = traced.total({n: self.kl(traced, n) for n in traced.guide_sites}).mean(0)
        return Terms(likelihood - kl, likelihood - beta * kl)

    @staticmethod
    def kl(traced: PairTrace, name: str) -> Tensor:
        """KL(q(site | x) || p(site | parents)), (K, B)."""
        guide, model = traced.guide_sites[name], traced.model_sites[name]
        if not is_reparameterized(guide):
            raise ContractError(
                f"site {name!r} ({guide['fn']}) is not reparameterized, which objective 'meanfield' needs; use 'elbo'."
            )
        if crosses(traced, name):
            return traced.log_q[name] - traced.log_p[name]
        try:
            kl = kl_divergence(guide["fn"], model["fn"])
        except NotImplementedError:
            return traced.log_q[name] - traced.log_p[name]
        return mask_scores(guide, kl).expand(traced.shape)


def crosses(traced: PairTrace, name: str) -> bool:
    """Whether a site that comes before this one in the model comes after it in the guide."""
    in_model = [n for n in traced.model_sites if n in traced.guide_sites]
    in_guide = list(traced.guide_sites)
    return not set(in_model[: in_model.index(name)]) <= set(in_guide[: in_guide.index(name)])


class Renyi(Objective):
    """1/(1 - alpha) log (1/K) sum_k w_k^(1 - alpha), w_k = p(x, z_k) / q(z_k | x).

    Right where Pyro's ``RenyiELBO`` is not: no scale inside the log-sum-exp, and sites drawn without
    reparameterization get their score-function gradient with the bound as signal (unbiased, of high variance).

    References: Li and Turner, Renyi Divergence Variational Inference, 2016, Eq. (14); for the score function, Mnih and
    Rezende, Variational Inference for Monte Carlo Objectives, 2016, Eq. (6).
    """

    def __init__(self, alpha: float = 0.5, num_particles: int = 10) -> None:
        super().__init__(num_particles)
        self.alpha = float(alpha)
        # for alpha < 0 the expectation lies between the ELBO and an upper bound, on no known side of log p(x)
        self.bound = "lower" if self.alpha >= 0 else "estimate"

    def options(self) -> dict[str, Any]:
        return {"alpha": self.alpha, **super().options()}

    def terms(self, traced: PairTrace, beta: float | Tensor = 1.0) -> Terms:
        bound = bounds.renyi(traced.log_weight, self.alpha)
        score = traced.sampled_score
        return Terms(bound, bound if score is None else bound + bound.detach() * score.sum(0))


class IWAE(Renyi):
    """log (1/K) sum_k p(x, z_k) / q(z_k | x), a lower bound that rises to log p(x) with K.

    References: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016, Eq. (8) and (14).
    """

    def __init__(self, num_particles: int = 50) -> None:
        super().__init__(alpha=0.0, num_particles=num_particles)

    def options(self) -> dict[str, Any]:
        return {"num_particles": self.num_particles}
