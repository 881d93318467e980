"""A latent known for some rows: distributions that labels fix, and the handler that swaps them in.

Labels of a one-hot y are (B,) integers, -1 where the class is unknown; those of a site of whole numbers, as the words of a
sentence, have its shape and are -1 all over. Programs know nothing of them: their site is latent at each row. Everything is
by ``torch.where``, so that a batch has one static shape whichever of its rows are labelled.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from pyro.distributions import Categorical, OneHotCategorical, TorchDistribution
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import constraints
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing

from pyrovae.core.program import Program, describe, inputs
from pyrovae.distributions.supports import is_discrete
from pyrovae.errors import ContractError

__all__ = [
    "TREATMENTS",
    "KnownValues",
    "Labelled",
    "LabelledGuide",
    "LabelledModel",
    "RelaxedGuide",
    "RelaxedModel",
    "leading_labels",
]

Shape = torch.Size | list[int] | tuple[int, ...]  # as torch.distributions takes them
TREATMENTS = ("enumerated", "sampled", "relaxed")
LOG_ZERO = -1e9  # log 0 for what carries no weight: exp gives exactly 0, and 0 x LOG_ZERO is 0 where 0 x -inf would be NaN


def leading_labels(labels: Tensor) -> int:
    """How many rows have a label, if those are the first ones and there are others after them, else 0.

    Looks at the values, also while a step is traced.

    >>> [leading_labels(torch.tensor(labels)) for labels in ([3, 1, -1], [3, -1, 1], [3, 1], [-1])]
    [2, 0, 0, 0]
    """
    with disable_proxy_modes_tracing():
        known = (labels >= 0).tolist()
    first = sum(known)
    return first if all(known[:first]) and first < len(known) else 0


class _LabelledOneHot(TorchDistribution):
    """A one-hot distribution, (C,), of which some rows have a label."""

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_enumerate_support = True

    def __init__(self, base: OneHotCategorical, labels: Tensor, temperature: float | Tensor = 1.0) -> None:
        self.base, self.labels, self.temperature = base, labels, temperature
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return self.base.support

    @property
    def known(self) -> Tensor:
        """Which rows have a label, (B,)."""
        return self.labels >= 0

    @property
    def label(self) -> Tensor:
        """The labels one-hot, (B, C), rows of zeros where there is none."""
        return self.one_hot(self.labels)

    def one_hot(self, index: Tensor) -> Tensor:
        """Integers to one-hot vectors; torch's own function looks at their values, which a traced step cannot."""
        classes = torch.arange(self.event_shape[0], device=index.device)
        return (index.unsqueeze(-1) == classes).to(self.base.logits.dtype)

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        with torch.no_grad():
            drawn = Categorical(logits=self.base.logits, validate_args=False).sample(torch.Size(sample_shape))
            return torch.where(self.known.unsqueeze(-1), self.label, self.one_hot(drawn))

    def matches(self, value: Tensor) -> Tensor:
        """Whether y = value is the label, (..., B); false where there is none."""
        return (value * self.label).sum(-1) > 0.5

    def expand(self, batch_shape: Shape, _instance: Any = None) -> _LabelledOneHot:
        return type(self)(self.base.expand(torch.Size(batch_shape)), self.labels, self.temperature)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self.base.enumerate_support(expand=expand)


class LabelledGuide(_LabelledOneHot):
    """q(y | x_b, y_b): all mass on the label where there is one, q(y | x_b) elsewhere."""

    def log_prob(self, value: Tensor) -> Tensor:
        """log q(y | x_b, y_b), (..., B), in nats."""
        fixed = torch.where(self.matches(value), 0.0, LOG_ZERO)
        return torch.where(self.known, fixed, self.base.log_prob(value))

    def log_prob_of_labels(self) -> Tensor:
        """log q(y_b | x_b) of the classifier, (..., B); 0 where there is no label."""
        return (self.base.logits * self.label).sum(-1)


class LabelledModel(_LabelledOneHot):
    """p(y) 1[y = y_b] where there is a label, p(y) elsewhere: summed over y, a labelled row has p(x, y_b)."""

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(y) where y is no other than the label, (..., B), in nats."""
        excluded = self.known & ~self.matches(value)
        scores = torch.where(excluded, LOG_ZERO, self.base.log_prob(value))
        return torch.where(self.labels < self.event_shape[0], scores, torch.nan)  # of a class that there is not


class KnownValues(TorchDistribution):
    """q(c | x_b, c_b) of whole numbers c: all mass on what is known, q(c | x_b) in rows where nothing is (-1).

    Args:
        base: q(c | x_b), (..., B) of some event shape.
        labels: c_b or -1 all over, (B, *event_shape).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, base: TorchDistribution, labels: Tensor) -> None:
        self.base, self.labels = base, labels
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Where the density is not zero."""
        return cast(constraints.Constraint, self.base.support)

    @property
    def known(self) -> Tensor:
        """Which rows are known, (B,)."""
        return (self.labels >= 0).flatten(1).all(1)

    def _of_rows(self, known: Tensor) -> Tensor:
        """(B,) as (B, 1, ...) beside events."""
        return known.reshape(-1, *[1] * len(self.event_shape))

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape, *event_shape), of which known rows are alike."""
        drawn = self.base.sample(torch.Size(sample_shape))
        return torch.where(self._of_rows(self.known), self.labels.to(drawn.dtype), drawn)

    def log_prob(self, value: Tensor) -> Tensor:
        """log q(c | x_b, c_b), (..., B), in nats."""
        matches = (value == self.labels).flatten(value.dim() - len(self.event_shape)).all(-1)
        return torch.where(self.known, torch.where(matches, 0.0, LOG_ZERO), self.base.log_prob(value))

    def log_prob_of_labels(self) -> Tensor:
        """log q(c_b | x_b), (..., B); 0 where nothing is known."""
        scores = self.base.log_prob(self.labels.clamp_min(0))
        return torch.where(self.known, scores, scores.new_zeros(()))

    def expand(self, batch_shape: Shape, _instance: Any = None) -> KnownValues:
        """The same distribution with this batch shape."""
        return KnownValues(self.base.expand(torch.Size(batch_shape)), self.labels)


class FixedGuide(LabelledGuide):
    """All mass on the label, for rows that all have one: nothing to enumerate, and no score to take."""

    has_rsample = True
    has_enumerate_support = False

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        return self.label.expand(*sample_shape, *self.base.logits.shape)

    sample = rsample


class RelaxedGuide(LabelledGuide):
    """softmax((log q(y | x) + Gumbel noise) / temperature), reparameterized; scored by the entropy of q(y | x).

    ``log_prob`` is sum_y q(y | x) log q(y | x), whatever the draw: the classes' own KL, and no density of the soft y.

    References: Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2017; Maddison, Mnih and Teh, The
    Concrete Distribution, 2017.
    """

    has_rsample = True
    has_enumerate_support = False

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Reparameterized draws, (*sample_shape, *batch_shape, *event_shape)."""
        logits = self.base.logits
        uniform = torch.rand(*sample_shape, *logits.shape, dtype=logits.dtype, device=logits.device)
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-7, 1 - 1e-7)))
        soft = ((logits + gumbel) / self.temperature).softmax(-1)
        return torch.where(self.known.unsqueeze(-1), self.label, soft)

    sample = rsample

    def log_prob(self, value: Tensor) -> Tensor:
        """sum_y q(y | x) log q(y | x), whatever the value, (..., B), in nats; 0 where there is a label."""
        entropy = (self.base.probs * self.base.logits).sum(-1)
        return torch.where(self.known, 0.0, entropy)


class RelaxedModel(LabelledModel):
    """sum_c y_c log p(y = c), linear in a soft y; log p(y) of a hard one."""

    has_enumerate_support = False

    def log_prob(self, value: Tensor) -> Tensor:
        """sum_c y_c log p(y = c), (..., B), in nats."""
        scores = (value * self.base.logits).sum(-1)
        return torch.where(self.labels < self.event_shape[0], scores, torch.nan)


DISTRIBUTIONS = {
    "enumerated": (LabelledModel, LabelledGuide),
    "sampled": (LabelledModel, LabelledGuide),
    "relaxed": (RelaxedModel, RelaxedGuide),
    "known": (LabelledModel, FixedGuide),  # in every row
}


class _Labels(Messenger):
    """Swaps the distribution of a site for one that the labels fix."""

    def __init__(self, site: str, part: str, treatment: str, labels: Tensor, temperature: float | Tensor) -> None:
        super().__init__()
        self.site, self.part, self.treatment, self.labels, self.temperature = site, part, treatment, labels, temperature

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] != self.site:
            return
        fn = msg["fn"]
        if isinstance(fn, OneHotCategorical):
            family = DISTRIBUTIONS[self.treatment][("model", "guide").index(self.part)]
            msg["fn"] = family(fn, self.labels, self.temperature)
        elif self.labels.shape[1:] != fn.event_shape or not (fn.event_shape and is_discrete(fn)):
            raise ContractError(
                f"site {self.site!r} is a {type(fn).__name__} of shape {tuple(fn.event_shape)} and its labels have shape "
                f"{tuple(self.labels.shape[1:])}; labels enter a OneHotCategorical as numbers of classes, or a site of whole "
                "numbers as its values."
            )
        elif self.treatment != "sampled":
            raise ContractError(
                f"site {self.site!r} is a {type(fn).__name__}, which is not {self.treatment}: give y='sampled', with base "
                "'nvil', 'vimco', 'rws' or 'elbo'."
            )
        elif self.part == "guide":
            msg["fn"] = KnownValues(fn, self.labels)
        if self.treatment != "enumerated":
            msg["infer"] = {key: value for key, value in msg["infer"].items() if key != "enumerate"}


class Labelled(nn.Module):
    """A program whose site is fixed by the batch's key of its name where that is not -1.

    Args:
        program: the model or the guide, of which the site is latent.
        part: "model" or "guide".
        treatment: of rows where it is unknown: "enumerated", "sampled" or "relaxed"; "known" if those are none.
        temperature: of the relaxed y.
        site: its name.
    """

    wraps = True

    def __init__(
        self,
        program: Program,
        part: str,
        treatment: str = "enumerated",
        temperature: float | Tensor = 1.0,
        site: str = "y",
    ) -> None:
        super().__init__()
        self.program, self.part, self.treatment, self.temperature = program, part, treatment, temperature
        self.site = site
        self.__qualname__ = describe(program)

    def forward(self, **batch: Tensor) -> Any:
        """Run the program on a batch of B data."""
        with _Labels(self.site, self.part, self.treatment, batch[self.site], self.temperature):
            return self.program(**inputs(self.program, batch))
