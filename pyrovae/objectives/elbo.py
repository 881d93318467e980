"""ELBOs: sampled, with analytic KL, with enumeration; beta, free bits and capacity on their KL."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyrovae.core.sites import site_masks
from pyrovae.core.trace import PairTrace
from pyrovae.distributions.divergence import analytic_kl
from pyrovae.errors import ContractError, OptionError, UnusedOptionError
from pyrovae.objectives import bounds
from pyrovae.objectives.estimators import Estimated
from pyrovae.objectives.objective import Terms, refuse_sampled

__all__ = ["ELBO", "Enum", "MeanField"]


class ELBO(Estimated):
    """The evidence lower bound, sampled, for any sites and any guide; a lower bound on log p(x), in nats per datum, (B,).

        ELBO = E_q[log p(x, z) - log q(z | x)],   by the mean over K draws

    Reparameterized sites take the pathwise gradient, enumerated ones are summed exactly, the others take the score function
    of Ranganath et al. (2014) with the datum's own log weight as its signal: value and gradient of
    :class:`pyro.infer.Trace_ELBO`, and with enumerated sites of :class:`pyro.infer.TraceEnum_ELBO`.

    The KL may be weighted, which changes what is trained and not the bound that is reported:

        beta:      E_q[log p(x | z)] - beta KL                              (Higgins et al. 2017, Eq. 4)
        free bits: KL of each site, or dimension, counts as free_bits where its mean over the batch is below
                                                                            (Kingma et al. 2016)
        capacity:  E_q[log p(x | z)] - gamma |KL - C|, KL its mean over the batch
                                                                            (Burgess et al. 2018)

    A ``pyro.factor`` of the guide is a loss of its own, which enters with a minus, as in Pyro: what is reported is then no
    bound.

    All four may be scheduled (``fit(schedule={"beta": "linear:start=0,end=4,epochs=10"})``) where they are on; a warmup
    (``fit(kl_warmup=...)``) is beta, or C, growing linearly from 0 to its value.

    Args:
        num_particles: K, over which the mean is taken.
        beta: weight of the KL.
        free_bits: nats, for each site or dimension.
        free_bits_per: "site" or "dimension" (meanfield only).
        capacity: C, in nats.
        gamma: weight of the distance from C.
        estimator: of discrete sites: "enumerate" (as objective ``enum``), "concrete" (both programs' sites relaxed: while
            training the value is that of the relaxed pair, whose KL, of noisy logits, is above the discrete one at any
            temperature), "straight-through" and "gumbel-straight-through" (the hard value with a soft, biased gradient),
            "score" (objective ``nvil``), "rebar", "relax", "arm" (objectives of these names); by default as described above.
            Without gradients it is always the hard pair: validation, evidence, generation.
        temperature: of the soft value in "concrete" and "gumbel-straight-through"; 0.5 by default.
        prior_temperature: of the model's sites in "concrete"; by default ``temperature``.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Eq. (2) and (6); Maddison, Mnih and Teh, The
    Concrete Distribution, 2017, Eq. (18) (concrete); Bengio, Leonard and Courville, Estimating or Propagating Gradients
    Through Stochastic Neurons, 2013 (straight-through); Jang, Gu and Poole, Categorical Reparameterization with
    Gumbel-Softmax, 2017, Section 2.2 (gumbel-straight-through).
    """

    weights_kl = True
    takes_guide_factors = True
    elsewhere = {"score": "nvil", "rebar": "rebar", "relax": "relax", "arm": "arm"}

    def __init__(
        self,
        num_particles: int = 1,
        beta: float = 1.0,
        free_bits: float = 0.0,
        free_bits_per: str = "site",
        capacity: float | None = None,
        gamma: float = 1.0,
        estimator: str | None = None,
        temperature: float | None = None,
        prior_temperature: float | None = None,
    ) -> None:
        super().__init__(num_particles)
        self.take_estimator(estimator, temperature, prior_temperature)
        for name, value in (("beta", beta), ("free_bits", free_bits), ("capacity", capacity), ("gamma", gamma)):
            if value is not None or name != "capacity":
                self.require_weight(name, value)
        if free_bits_per not in ("site", "dimension"):
            raise OptionError(f"free_bits_per is {free_bits_per!r}; expected 'site' or 'dimension'.")
        for name, given, default, other in (
            ("free_bits_per", free_bits_per, "site", None if free_bits else "free_bits"),
            ("gamma", gamma, 1.0, "capacity" if capacity is None else None),
        ):
            if other is not None and given != default:
                raise UnusedOptionError(
                    f"{name} is {given!r}, which goes with {other}; give {other}, or leave {name} out.", name
                )
        if capacity is not None and (beta != 1 or free_bits):
            raise OptionError("capacity takes the place of beta and free_bits: give one of them.")
        self.beta, self.free_bits, self.free_bits_per = beta, free_bits, free_bits_per
        self.capacity, self.gamma = capacity, gamma

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """Whether nothing compares the mean of the batch with free bits or a capacity."""
        return not self.free_bits and self.capacity is None

    @property
    def weights(self) -> dict[str, float]:
        """Those weights of the KL that are on."""
        if self.capacity is not None:
            return {"capacity": self.capacity, "gamma": self.gamma, **self.temperatures}
        return {"beta": self.beta, **({"free_bits": self.free_bits} if self.free_bits else {}), **self.temperatures}

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        bound = bounds.elbo(self.log_weight(traced))
        beta = schedule.get("beta", self.beta)
        if not (self.free_bits or traced.sampled) and self.capacity is None and isinstance(beta, float | int) and beta == 1:
            return Terms(bound, bound)  # nothing is weighted, nothing needs a score
        likelihood = traced.log_likelihood
        if self.free_bits or self.capacity is not None:
            if self.relaxes and not torch.is_grad_enabled():
                return Terms(bound, bound)  # of the hard pair
            refuse_sampled(traced, self, "enumerate it, or weight its KL by beta")
            kl = {n: traced.expect(traced.log_q[n] - traced.log_p[n]).mean(0) for n in traced.guide_sites}
            return Terms(bound, traced.expect(likelihood).mean(0) - self.penalty(traced, kl, schedule))
        entropy = traced.total({n: s for n, s in traced.log_q.items() if n not in traced.sampled})
        if traced.summed_out:
            self.refuse_weight(beta, traced)
            cost = self.joint(traced) - entropy
        else:
            prior = traced.total({n: s for n, s in traced.log_p.items() if n not in traced.observed})
            cost = likelihood + beta * (prior - entropy)
        surrogate = traced.expect(cost)
        score = traced.sampled_score
        if score is not None:
            # E[grad log q] = 0, so a sampled site's own log q appears only inside its signal
            signal = (cost - beta * score).detach()
            surrogate = surrogate + traced.expect(signal * (score - score.detach()))
        return Terms(bound, surrogate.mean(0))

    def log_weight(self, traced: PairTrace) -> Tensor:
        """log p(x, z) - log q(z | x) at each draw, (K, B), averaged over enumerated sites by q."""
        return traced.expect(self.joint(traced) - traced.total(traced.log_q))

    @staticmethod
    def joint(traced: PairTrace) -> Tensor:
        """log p(x, z) less the guide's own factors, (K, B) or (E, K, B)."""
        return traced.log_joint if traced.guide_factors is None else traced.log_joint - traced.guide_factors

    @staticmethod
    def refuse_weight(beta: float | Tensor, traced: PairTrace) -> None:
        """Weights are not for sites that the model sums out, inside whose log-sum-exp they would be."""
        if not isinstance(beta, (int, float)) or beta != 1:
            raise ContractError(
                f"site {traced.summed_out[0]!r} is summed out in the model, so its KL cannot be weighted; enumerate it in the "
                "guide, or leave beta at 1 without a warmup."
            )

    def penalty(self, traced: PairTrace, kl: dict[str, Tensor], schedule: Mapping[str, Tensor]) -> Tensor:
        """What stands in the objective for the KL, (B,), from the KL of each site, (B,), or dimension, (B, d)."""
        if traced.summed_out:
            self.refuse_weight(0, traced)
        per_site = {name: value.flatten(1).sum(1) if value.dim() > 1 else value for name, value in kl.items()}
        beta, free_bits = schedule.get("beta", self.beta), schedule.get("free_bits", self.free_bits)
        if self.capacity is not None:
            distance = (traced.total({}).mean(0) + sum(per_site.values())).mean() - schedule.get("capacity", self.capacity)
            return schedule.get("gamma", self.gamma) * distance.abs().expand(traced.shape[1:])
        if not self.free_bits:
            return beta * sum(per_site.values(), traced.total({}).mean(0))
        parts = kl if self.free_bits_per == "dimension" else per_site
        counted = [torch.where(value.mean(0) > free_bits, value, free_bits) for value in parts.values()]
        return beta * sum(
            (value.flatten(1).sum(1) if value.dim() > 1 else value for value in counted), traced.total({}).mean(0)
        )


class MeanField(ELBO):
    """The ELBO with its KL analytic where that is right and registered, else sampled; a lower bound, nats per datum, (B,).

        ELBO = E_q[log p(x | z)] - sum over sites of KL(q || p)

    The value and gradient of :class:`pyro.infer.TraceMeanField_ELBO`, but for sites whose analytic KL would be wrong: where
    a site comes after another in the model and before it in the guide, its prior may depend on a draw that depends on its
    own, and Pyro only warns. Enumerated discrete sites are summed exactly, the KL of the others being analytic given each
    of their values, which Pyro refuses. Every other latent site must be reparameterized.

    Args: as for :class:`ELBO`, but that the one estimator is "enumerate"; ``free_bits_per="dimension"`` needs sites whose
        dimensions are independent.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Eq. (3) and (7); Kingma et al., Semi-supervised
    Learning with Deep Generative Models, 2014, Eq. (7).
    """

    estimators = ("enumerate",)
    elsewhere = {}

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        refuse_sampled(traced, self, "use 'elbo', or enumerate it")
        if traced.summed_out:
            raise ContractError(
                f"site {traced.summed_out[0]!r} is summed out in the model, where no KL is analytic; use 'elbo' or 'iwae'."
            )
        likelihood = traced.expect(traced.log_likelihood).mean(0)
        kl = {n: traced.expect(self.kl(traced, n)).mean(0) for n in traced.guide_sites}
        bound = likelihood - sum(kl.values(), traced.total({}).mean(0))
        if self.free_bits and self.free_bits_per == "dimension":
            kl = {n: self.kl_per_dimension(traced, n) for n in traced.guide_sites}
        return Terms(bound, likelihood - self.penalty(traced, kl, schedule))

    @staticmethod
    def kl(traced: PairTrace, name: str) -> Tensor:
        """KL(q(site | x) || p(site | parents)), (K, B), or (E, K, B) given the enumerated sites."""
        if name not in traced.enumerated and not crosses(traced, name):
            try:
                kl = traced.site_kl(name)
                return kl.expand(torch.broadcast_shapes(kl.shape, traced.shape))
            except NotImplementedError:
                pass
        return traced.log_q[name] - traced.log_p[name]

    def kl_per_dimension(self, traced: PairTrace, name: str) -> Tensor:
        """KL of each dimension of a site, (B, d); refuses sites that are no product over dimensions."""
        guide, model = traced.guide_sites[name]["fn"], traced.model_sites[name]["fn"]
        if name in traced.enumerated:
            return traced.expect(self.kl(traced, name)).mean(0).unsqueeze(1)
        event_dim = guide.event_dim
        while hasattr(guide, "reinterpreted_batch_ndims") and hasattr(model, "reinterpreted_batch_ndims"):
            guide, model = guide.base_dist, model.base_dist
        if guide.event_shape or model.event_shape or crosses(traced, name):
            raise ContractError(f"site {name!r} is no product over its dimensions; use free_bits_per='site'.")
        if traced.enumerated:
            raise ContractError(f"free bits per dimension of {name!r} given enumerated sites: use free_bits_per='site'.")
        if any(site_masks(sites[name]) for sites in (traced.guide_sites, traced.model_sites)):
            raise ContractError(f"site {name!r} is masked, so no KL per dimension is right; use free_bits_per='site'.")
        try:
            kl = analytic_kl(guide, model)
        except NotImplementedError as error:
            raise ContractError(f"site {name!r} has no KL per dimension ({error}); use free_bits_per='site'.") from error
        return kl.flatten(-event_dim).expand(*traced.shape, -1).mean(0)


def crosses(traced: PairTrace, name: str) -> bool:
    """Whether a site that comes before this one in the model comes after it in the guide."""
    in_model = [n for n in traced.model_sites if n in traced.guide_sites]
    in_guide = list(traced.guide_sites)
    return not set(in_model[: in_model.index(name)]) <= set(in_guide[: in_guide.index(name)])


class Enum(ELBO):
    """The ELBO with every discrete site of finite support enumerated; a lower bound, in nats per datum, (B,).

        ELBO = sum_y q(y | x) E_q(z | x, y)[log p(x, y, z) - log q(y, z | x)],   y all discrete sites

    Value and gradient of :class:`pyro.infer.TraceEnum_ELBO`; another name of ``elbo:estimator=enumerate``.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Eq. (7).
    """

    def __init__(
        self,
        num_particles: int = 1,
        beta: float = 1.0,
        free_bits: float = 0.0,
        free_bits_per: str = "site",
        capacity: float | None = None,
        gamma: float = 1.0,
    ) -> None:
        super().__init__(num_particles, beta, free_bits, free_bits_per, capacity, gamma, "enumerate")
