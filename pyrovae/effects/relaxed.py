"""Discrete sites made differentiable: the handler that swaps latent Bernoulli and OneHotCategorical sites, in training.

Programs know nothing of it. The soft value of a site is what the networks get; the score of it is the relaxed density
(``concrete``) or the mass of the hard value (``straight-through``, ``gumbel-straight-through``). The model's site is swapped
as well as the guide's, since ``OneHotCategorical.log_prob`` takes the argmax of its value, through which no gradient passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from pyro.distributions import Bernoulli, Independent, MaskedDistribution, OneHotCategorical, TorchDistribution
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import constraints, kl_divergence, register_kl
from torch.nn.functional import softplus

from pyrovae.core.program import Program, describe, inputs
from pyrovae.distributions.supports import is_discrete
from pyrovae.effects.labels import LabelledGuide, LabelledModel
from pyrovae.errors import ContractError

__all__ = ["RELAXATIONS", "Relaxed", "RelaxedBernoulli", "RelaxedOneHot", "Relaxation"]

Shape = torch.Size | list[int] | tuple[int, ...]  # as torch.distributions takes them
RELAXATIONS = ("concrete", "straight-through", "gumbel-straight-through")


@dataclass
class Relaxation:
    """How sites are relaxed in one trace, and what was drawn there.

    Attributes:
        kind: one of :data:`RELAXATIONS`, or "gumbel", a soft value scored by its mass.
        temperature: of the guide's sites.
        prior_temperature: of the model's sites, in ``concrete``.
        drawn: site -> its soft value y and log y (of a bit: its logit), exact where y itself is rounded to 0 or 1.
    """

    kind: str
    temperature: float | Tensor
    prior_temperature: float | Tensor
    drawn: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


def same_memory(one: Tensor, other: Tensor) -> bool:
    """Whether one tensor is the other, or its values in another shape."""
    if one is other:
        return True
    try:
        return one.numel() == other.numel() and one.data_ptr() == other.data_ptr()
    except RuntimeError:  # within torch.func
        return False


class _Soft(TorchDistribution):
    """A discrete distribution whose draws are differentiable in its logits.

    Args:
        base: what it relaxes.
        how: the relaxation.
        temperature: of this site.
        name: of the site.
        drawn: y and log y, if the site was drawn before.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = True
    has_enumerate_support = False
    support = constraints.real

    def __init__(
        self, base: Any, how: Relaxation, temperature: float | Tensor, name: str, drawn: tuple[Tensor, Tensor] | None = None
    ) -> None:
        self.base, self.how, self.temperature, self.name, self.drawn = base, how, temperature, name, drawn
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> _Soft:
        return type(self)(self.base.expand(torch.Size(batch_shape)), self.how, self.temperature, self.name, self.drawn)

    @property
    def logits(self) -> Tensor:
        """Of the distribution that is relaxed."""
        logits: Tensor = self.base.logits
        return logits

    @property
    def mean(self) -> Tensor:
        """Of the distribution that is relaxed."""
        mean: Tensor = self.base.mean
        return mean

    def uniform(self, shape: Shape) -> Tensor:
        """Draws strictly between 0 and 1."""
        drawn = torch.rand(torch.Size(shape), dtype=self.logits.dtype, device=self.logits.device)
        return drawn.clamp_min(torch.finfo(drawn.dtype).eps / 4)

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Soft draws (``concrete``), or hard ones with a soft gradient, (*sample_shape, *batch_shape, *event_shape)."""
        noisy = self.logits + self.noise((*sample_shape, *self.base.batch_shape, *self.base.event_shape))
        plain = self.how.kind == "straight-through"
        log_soft, soft = self.squash(self.logits.expand_as(noisy) if plain else noisy / self.temperature)
        if self.how.kind in ("concrete", "gumbel"):
            self.drawn = self.how.drawn[self.name] = (soft, log_soft)
            return soft
        return self.harden(noisy) + (soft - soft.detach())

    sample = rsample

    def noise(self, shape: Shape) -> Tensor:
        """What is added to the logits, so that the largest is distributed as the discrete distribution says."""
        raise NotImplementedError

    def squash(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """log y, or a bit's logit, and y."""
        raise NotImplementedError

    def harden(self, logits: Tensor) -> Tensor:
        """The discrete value."""
        raise NotImplementedError

    def unsquash(self, value: Tensor) -> Tensor:
        """log y, or a bit's logit, from y: exact where y was drawn here, else as exact as y is."""
        if self.drawn is not None:
            soft, log_soft = self.drawn
            if same_memory(value, soft):
                log_soft = log_soft.reshape(value.shape)  # particles as rows
                return log_soft if value.requires_grad else log_soft.detach()
        return self.log_of(value)

    def log_of(self, value: Tensor) -> Tensor:
        """log y, or a bit's logit."""
        raise NotImplementedError

    def mass(self, value: Tensor) -> Tensor:
        """The log mass, continued linearly to what lies between the values."""
        raise NotImplementedError

    def density(self, log_value: Tensor) -> Tensor:
        """The relaxed log density at y."""
        raise NotImplementedError

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of y (``concrete``) or log mass of the value, (..., B), in nats."""
        return self.density(self.unsquash(value)) if self.how.kind == "concrete" else self.mass(value)


class RelaxedBernoulli(_Soft):
    """A bit with logit a, relaxed: y = sigmoid((a + log u - log(1 - u)) / T), u uniform.

        log p(y) = log T + a - T l - 2 softplus(a - T l) + softplus(l) + softplus(-l),   l = logit y

    References: Maddison, Mnih and Teh, The Concrete Distribution, 2017, Eq. (22) to (26); Jang, Gu and Poole, Categorical
    Reparameterization with Gumbel-Softmax, 2017.
    """

    def noise(self, shape: Shape) -> Tensor:
        """Logistic."""
        u = self.uniform(shape)
        return u.log() - (-u).log1p()

    def squash(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The logit and the sigmoid."""
        return logits, logits.sigmoid()

    def harden(self, logits: Tensor) -> Tensor:
        """1 where the logit is positive."""
        return (logits > 0).to(logits.dtype)

    def log_of(self, value: Tensor) -> Tensor:
        """The logit of y."""
        eps = torch.finfo(value.dtype).eps / 2
        return value.clamp(eps, 1 - eps).logit()

    def mass(self, value: Tensor) -> Tensor:
        """y a - softplus(a)."""
        return value * self.logits - softplus(self.logits)

    def density(self, log_value: Tensor) -> Tensor:
        """As above."""
        temperature = torch.as_tensor(self.temperature, dtype=log_value.dtype)
        centred = self.logits - temperature * log_value
        return temperature.log() + centred - 2 * softplus(centred) + softplus(log_value) + softplus(-log_value)


class RelaxedOneHot(_Soft):
    """A one-hot vector of C classes with logits a, relaxed: y = softmax((a + g) / T), g Gumbel.

        log p(y) = log (C - 1)! + (C - 1) log T + sum_c (a_c - (T + 1) log y_c) - C log sum_c exp(a_c - T log y_c)

    References: Maddison, Mnih and Teh, The Concrete Distribution, 2017, Eq. (10); Jang, Gu and Poole, Categorical
    Reparameterization with Gumbel-Softmax, 2017, Eq. (2).
    """

    def noise(self, shape: Shape) -> Tensor:
        """Gumbel."""
        return -(-self.uniform(shape).log()).log()

    def squash(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithm of the softmax and the softmax."""
        log_soft = logits.log_softmax(-1)
        return log_soft, log_soft.exp()

    def harden(self, logits: Tensor) -> Tensor:
        """1 at the largest logit."""
        largest = logits.argmax(-1, keepdim=True)
        return (torch.arange(logits.shape[-1], device=logits.device) == largest).to(logits.dtype)

    def log_of(self, value: Tensor) -> Tensor:
        """log y."""
        return value.clamp_min(torch.finfo(value.dtype).tiny).log()

    def mass(self, value: Tensor) -> Tensor:
        """sum_c y_c log p_c."""
        return (value * self.logits.log_softmax(-1)).sum(-1)

    def density(self, log_value: Tensor) -> Tensor:
        """As above."""
        temperature = torch.as_tensor(self.temperature, dtype=log_value.dtype)
        classes = log_value.shape[-1]
        tilted = self.logits - temperature * log_value
        constant = math.lgamma(classes) + (classes - 1) * temperature.log()
        return constant + (tilted - log_value).sum(-1) - classes * tilted.logsumexp(-1)


@register_kl(RelaxedBernoulli, RelaxedBernoulli)
@register_kl(RelaxedOneHot, RelaxedOneHot)
def _kl(p: _Soft, q: _Soft) -> Tensor:
    """The KL of the discrete distributions, which that of their densities is not."""
    if p.how.kind == "concrete":
        raise NotImplementedError("the KL of two Concrete densities has no closed form")
    found: Tensor = kl_divergence(p.base, q.base)
    return found


FAMILIES: dict[type, type[_Soft]] = {Bernoulli: RelaxedBernoulli, OneHotCategorical: RelaxedOneHot}


def relax(fn: Any, how: Relaxation, temperature: float | Tensor, name: str) -> Any:
    """The distribution of a site, relaxed; ContractError for a family that has no relaxation here."""
    if isinstance(fn, torch.distributions.Independent):
        return Independent(relax(fn.base_dist, how, temperature, name), fn.reinterpreted_batch_ndims)
    if how.kind != "concrete" and getattr(fn, "is_multilinear", False):
        return fn
    if isinstance(fn, MaskedDistribution):
        return relax(fn.base_dist, how, temperature, name).mask(fn._mask)
    for family, relaxed in FAMILIES.items():
        if isinstance(fn, family):
            return relaxed(fn, how, temperature, name, how.drawn.get(name))
    raise ContractError(
        f"site {name!r} is a {type(fn).__name__}, of which estimator {how.kind!r} knows no soft value; write it as Bernoulli "
        "or OneHotCategorical, or draw it with estimator 'score' (objective 'nvil')."
    )


class _Relax(Messenger):
    """Swaps the distribution of every latent discrete site for its relaxation."""

    def __init__(self, how: Relaxation, temperature: float | Tensor) -> None:
        super().__init__()
        self.how, self.temperature = how, temperature

    def _pyro_sample(self, msg: Any) -> None:
        fn = msg["fn"]
        if msg["is_observed"] or site_is_subsample(msg) or not is_discrete(fn):
            return
        if isinstance(fn, (LabelledGuide, LabelledModel)):  # the class of partly labelled data, which has its own treatment
            return
        msg["fn"] = relax(fn, self.how, self.temperature, msg["name"])
        msg["infer"] = {key: value for key, value in msg["infer"].items() if key != "enumerate"}


class Relaxed:
    """A program whose discrete latent sites are relaxed.

    Args:
        program: the model or the guide.
        how: the relaxation, which both programs of a pair share in one trace.
        temperature: of this program's sites.
    """

    wraps = True

    def __init__(self, program: Program, how: Relaxation, temperature: float | Tensor) -> None:
        self.program, self.how, self.temperature = program, how, temperature
        self.__qualname__ = describe(program)

    def __call__(self, **batch: Tensor) -> Any:
        """Run the program."""
        with _Relax(self.how, self.temperature):
            return self.program(**inputs(self.program, batch))
