"""Penalties of the code that are no part of any density, as modifiers of an objective: contraction and sparsity."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pyrovae.core.keys import drawn_keys, main_key
from pyrovae.core.program import describe
from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.objectives.elbo import ELBO, MeanField
from pyrovae.objectives.energy import Energy
from pyrovae.objectives.objective import Given, Objective, Update, Updates
from pyrovae.objectives.wrapper import Wrapper, base_objective

__all__ = ["Contraction", "Sparsity", "rate_divergence"]

BASES: dict[str, type[Objective]] = {"energy": Energy, "elbo": ELBO, "meanfield": MeanField}


class Penalized(Wrapper):
    """An objective minus ``weight`` times a penalty: trained is the difference, reported the objective alone."""

    def __init__(self, weight: float, base: str | Mapping[str, Any]) -> None:
        self.require_weight("weight", weight)
        self.inner = base_objective(base, BASES, type(self).__name__.lower())
        super().__init__(self.inner.num_particles)
        self.weight, self.base = weight, base
        self.bound, self.weights_kl = self.inner.bound, self.inner.weights_kl

    @property
    def weights(self) -> dict[str, float]:
        """The penalty's weight, and the base's."""
        return {"weight": self.weight, **self.inner.weights}

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        traced = self.inner.trace(given, batch)
        if discrete := [*traced.enumerated, *(name for name, z in traced.latents.items() if not z.is_floating_point())]:
            raise ContractError(
                f"site {discrete[0]!r} is discrete, and {type(self).__name__.lower()} is a penalty of continuous codes; use "
                "its base objective alone."
            )
        return traced

    def updates(self, given: Given) -> Updates:
        closed = self.closed_form(given)
        traced = self.trace(given)
        bound, surrogate, state = self.inner.terms(traced, given.schedule)
        penalty = self.penalty(traced, given) if closed is None else closed
        yield Update("pair", -(surrogate - given.schedule.get("weight", self.weight) * penalty).mean(), bound)
        return {**state, **traced.next_state()}

    def closed_form(self, given: Given) -> Tensor | None:
        """The penalty, (B,), where it needs no trace."""
        return None

    @abstractmethod
    def penalty(self, traced: PairTrace, given: Given) -> Tensor:
        """What is subtracted, (B,)."""


class Contraction(Penalized):
    """The base minus weight ||J||_F^2 of each datum, J the Jacobian of the encoder, or of the decoder at the code.

        encoder:  J = dE_q[z]/dx, so that small changes of x change the code little          (Rifai et al. 2011)
        decoder:  J = dE[x | z]/dz at the guide's draw, so that the reconstruction is smooth  (Ghosh et al. 2020, RAE-GP)

    What is reported is the base's value alone, in nats per datum, (B,).

    A scale of the code that the other network can take back makes either penalty void: tie the weights for the first, give the
    code a prior for the second, as pair ``cae`` does.

    Args:
        weight: of the penalty.
        of: "encoder" or "decoder".
        jacobian: "autograd" for any network, d passes backwards; "closed-form" by the guide's method ``squared_jacobian(x)``,
            for the encoder of one layer.
        num_probes: of "autograd", estimate E||J v||^2 = ||J||_F^2 by so many v ~ N(0, I) a datum, without bias, in as many
            passes; 0 for the exact norm.
        base: the objective: "energy", "elbo" or "meanfield", with options as a mapping, as in {"name": "elbo", "beta": 2}.

    References: Rifai et al., Contractive Auto-Encoders, 2011, Section 3; Ghosh et al., From Variational to Deterministic
    Autoencoders, 2020, Section 3; Hutchinson, A Stochastic Estimator of the Trace of the Influence Matrix, 1990 (the probes).
    """

    def __init__(
        self,
        weight: float = 0.1,
        of: str = "encoder",
        jacobian: str = "autograd",
        num_probes: int = 0,
        base: str | Mapping[str, Any] = "energy",
    ) -> None:
        super().__init__(weight, base)
        for name, value, known in (
            ("of", of, ("encoder", "decoder")),
            ("jacobian", jacobian, ("autograd", "closed-form")),
        ):
            if value not in known:
                raise nearest(f"value of {name} in contraction", value, known)
        if (of, jacobian) == ("decoder", "closed-form"):
            raise OptionError("jacobian='closed-form' is for of='encoder'; use jacobian='autograd' for the decoder.")
        self.require("num_probes", num_probes, at_least=0)
        self.of, self.jacobian, self.num_probes = of, jacobian, num_probes

    def closed_form(self, given: Given) -> Tensor | None:
        """The penalty of each datum in closed form, (B,); None where it has none."""
        if self.jacobian != "closed-form":
            return None
        if not callable(closed := getattr(given.guide, "squared_jacobian", None)):
            raise ContractError(
                f"{describe(given.guide)} has no method squared_jacobian(x), so its Jacobian has no closed form here; use "
                "jacobian='autograd'."
            )
        squared: Tensor = closed(given.batch[key_of(given)])
        return squared

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        if (self.of, self.jacobian) == ("encoder", "autograd"):
            batches = list(given.batches)
            key = key_of(given)
            x = batches[batch][key].detach().requires_grad_(torch.is_grad_enabled())
            batches[batch] = {**batches[batch], key: x}
            given = replace(given, batches=batches)
        return super().trace(given, batch)

    def penalty(self, traced: PairTrace, given: Given) -> Tensor:
        """What is subtracted, (B,)."""
        x = traced.data
        if not torch.is_grad_enabled():  # a bound is asked for, and no gradient
            return x.new_zeros(len(x))
        sites = [name for name in traced.guide_sites if name not in traced.sampled + traced.enumerated]
        if self.of == "encoder":
            norms = (encoder_jacobian(traced, name, x, self.num_probes) for name in sites)
        else:
            norms = (decoder_jacobian(traced, name, self.num_probes) for name in sites)
        return sum(norms, x.new_zeros(len(x)))


def key_of(given: Given) -> str:
    """The key of the batch that the data are."""
    return main_key(drawn_keys(given.model, given.batch, given=given.batch))


def encoder_jacobian(traced: PairTrace, site: str, x: Tensor, num_probes: int = 0) -> Tensor:
    """||dE_q[z]/dx||_F^2, (B,), by as many backward passes as z has dimensions, or as there are probes."""
    mean = traced.guide_sites[site]["fn"].mean.expand(*traced.shape, *traced.latents[site].shape[2:])[0]
    mean = mean.reshape(len(mean), -1)
    if not mean.requires_grad:
        raise ContractError(f"the mean of site {site!r} does not depend on x, so there is no encoder to contract.")
    return squared_rows(mean, x, num_probes).reshape(len(x), -1).sum(1)


def decoder_jacobian(traced: PairTrace, site: str, num_probes: int = 0) -> Tensor:
    """||dE[x | z]/dz||_F^2 at the draws, (B,): J v is the derivative of J' u, which is linear in u."""
    z, x = traced.latents[site], traced.model_sites["x" if "x" in traced.observed else traced.observed[0]]["fn"].mean
    u = torch.zeros_like(x, requires_grad=True)
    (pulled,) = torch.autograd.grad(x, z, u, create_graph=True)
    squares = squared_rows(pulled.reshape(*traced.shape, -1), u, num_probes)
    return squares.reshape(*traced.shape, -1).sum(2).mean(0)


def squared_rows(outputs: Tensor, inputs: Tensor, num_probes: int) -> Tensor:
    """sum_i (d outputs[..., i] / d inputs)^2 in the shape of the inputs, for rows that depend on their own inputs only."""
    if num_probes:
        chosen = torch.randn(num_probes, *outputs.shape, device=outputs.device) / num_probes**0.5
    else:
        chosen = torch.eye(outputs.shape[-1], dtype=outputs.dtype, device=outputs.device)
        chosen = chosen.reshape(len(chosen), *[1] * (outputs.dim() - 1), -1).expand(-1, *outputs.shape)
    (grads,) = torch.autograd.grad(outputs, inputs, chosen, create_graph=True, is_grads_batched=True)
    return grads.square().sum(0)


def rate_divergence(codes: Tensor, rate: float | Tensor) -> Tensor:
    """sum_j KL(Bernoulli(rate) || Bernoulli(mean of code j)), the mean over all draws and data of codes in (0, 1), (..., d).

        KL_j = rate log(rate / m_j) + (1 - rate) log((1 - rate) / (1 - m_j))

    References: Ng, Sparse Autoencoder (CS294A lecture notes), 2011.

    >>> rate_divergence(torch.tensor([[0.1, 0.0], [0.1, 0.2]]), 0.1).abs() < 1e-6
    tensor(True)
    """
    mean = codes.flatten(0, -2).mean(0).clamp(1e-6, 1 - 1e-6)
    return (rate * (rate / mean).log() + (1 - rate) * ((1 - rate) / (1 - mean)).log()).sum()


class Sparsity(Penalized):
    """The base minus a penalty on codes in (0, 1), (..., d), that are on more often than ``rate``, or less often.

        base - weight sum_j KL(Bernoulli(rate) || Bernoulli(m_j)),   m_j the mean over the batch of code j

    What is reported is the base's value alone, in nats per datum, (B,).

    Args:
        weight: of the penalty.
        rate: the mean activation asked for.
        base: the objective: "energy", "elbo" or "meanfield", with options as a mapping.

    References: Ng, Sparse Autoencoder (CS294A lecture notes), 2011; Lee, Ekanadham and Ng, Sparse Deep Belief Net Model for
    Visual Area V2, 2008.
    """

    def __init__(self, weight: float = 3.0, rate: float = 0.05, base: str | Mapping[str, Any] = "energy") -> None:
        super().__init__(weight, base)
        if isinstance(rate, (bool, str)) or not 0 < rate < 1:
            raise OptionError(f"rate is {rate!r}; expected a number between 0 and 1, the mean of a code that is mostly off.")
        self.rate = rate

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """No: the penalty is one of the mean activations of the batch."""
        return False

    @property
    def weights(self) -> dict[str, float]:
        """The penalty's weight and rate, and the base's."""
        return {"weight": self.weight, "rate": self.rate, **self.inner.weights}

    def penalty(self, traced: PairTrace, given: Given) -> Tensor:
        """What is subtracted, (B,)."""
        codes, rate = traced.latents, given.schedule.get("rate", self.rate)
        if not torch.is_grad_enabled():  # before training and at validation; a compiled step must not look at values
            for name, z in codes.items():
                if not bool(((z >= 0) & (z <= 1)).all()):
                    raise ContractError(
                        f"site {name!r} has values from {float(z.min()):g} to {float(z.max()):g}, and sparsity needs codes in "
                        "(0, 1); end the encoder with a sigmoid, or use an L1 penalty (a Laplace prior)."
                    )
        total = sum(rate_divergence(z, rate) for z in codes.values())
        return torch.as_tensor(total).expand(traced.shape[1:])
