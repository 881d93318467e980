"""Bounds of partly labelled data, and the classification term that trains the guide's classifier on the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyrovae.core.rows import Particles, split_rows
from pyrovae.core.trace import PairTrace
from pyrovae.data.labelled import LabelledSplit
from pyrovae.effects.labels import TREATMENTS, KnownValues, Labelled, LabelledGuide, leading_labels
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.objectives.discrete import RWS, VIMCO
from pyrovae.objectives.elbo import ELBO, MeanField
from pyrovae.objectives.importance import IWAE
from pyrovae.objectives.nvil import NVIL
from pyrovae.objectives.objective import Given, Objective, Terms
from pyrovae.objectives.wrapper import Wrapper, base_objective

__all__ = ["SemiSupervised"]


def unlabelled_bound(traced: PairTrace) -> Tensor:
    """U(x) of Kingma et al. (2014), Eq. (7), from one draw of z for each class, (K, B); L(x, y) in rows whose y is known.

    U(x)    = sum_y q(y | x) L(x, y) + H(q(y | x)) = sum_y q(y | x) (L(x, y) - log q(y | x))
    L(x, y) = log p(x, y, z) - log q(z | x, y),   z ~ q(z | x, y)
    """
    bound_less_log_q_y = traced.log_joint - traced.total(traced.log_q)  # L(x, y) - log q(y | x), (C, K, B)
    return traced.expect(bound_less_log_q_y)  # sum_y q(y | x) (...)


class _ClassELBO(ELBO):
    """The mean of U(x) over K draws."""

    estimators, elsewhere = (), {}  # y has its treatment

    def log_weight(self, traced: PairTrace) -> Tensor:
        return unlabelled_bound(traced)


class _ClassIWAE(IWAE):
    """log (1/K) sum_k exp U_k(x): the IWAE over z with the ELBO over y inside, so that q(y | x) learns."""

    estimators, elsewhere = (), {}

    def log_weight(self, traced: PairTrace) -> Tensor:
        return unlabelled_bound(traced)


BASES: dict[str, type[Objective]] = {
    "elbo": _ClassELBO,
    "meanfield": MeanField,
    "iwae": _ClassIWAE,
    "nvil": NVIL,
    "vimco": VIMCO,
    "rws": RWS,
}


@dataclass
class Parts:
    """A batch whose first rows have labels, and whose others have none, in two traces: only the second enumerates y.

    Attributes:
        as_expected: whether the labels lie so, which a compiled step finds out batch by batch; if not, its bound is NaN.
    """

    labelled: PairTrace
    rest: PairTrace
    as_expected: Tensor

    def next_state(self) -> dict[Tensor, Tensor]:
        """That of the rows without labels; no base that the parts serve keeps any."""
        return self.rest.next_state()


class SemiSupervised(Wrapper):
    """A bound on log p(x, y) of labelled rows and on log p(x) of the others, plus alpha times the classifier's log q(y | x).

        labelled rows:     L(x, y) = E_q(z|x,y)[log p(x, y, z) - log q(z | x, y)]
        unlabelled rows:   U(x)    = sum_y q(y | x) (L(x, y) - log q(y | x))
        classification:    alpha * mean over the batch's labelled rows of log q(y_b | x_b)

    All are in nats per datum, (B,). What is trained is the mean over the batch of the first two plus the third; alpha =
    0.1 is the 0.1 N of Kingma et al. for a sum over N data, whichever share of a batch has labels. What is reported is the
    bound alone, without the classification: of log p(x, y) where ``y`` in the batch is a label and of log p(x) where it is
    -1. The classifier is the guide's site y.

    Args:
        alpha: weight of the classification term.
        base: the bound: "elbo", "meanfield" (KL of z analytic given y), "iwae", "nvil", "vimco" or "rws" (its wake phase),
            with options as a mapping, as in {"name": "elbo", "beta": 2}. "iwae" takes the ELBO over y inside each of its K
            weights, since in the exact sum over y, that :func:`~pyrovae.log_evidence` takes, q(y | x) has no part and would
            learn nothing.
        num_particles: K.
        y: where it is unknown, "enumerated" (summed exactly), "sampled" (drawn, with the score-function gradient of the
            base: named estimators are "nvil", "vimco" and "rws") or "relaxed" (Gumbel-softmax: what it reports is no bound).
        temperature: of the relaxed y.
        site: the latent that some rows know, and the key that says so. Beside a one-hot y it may be a site of whole numbers,
            as a sentence's words, whose key has its shape and is -1 where nothing is known; such a site is sampled.

    Attributes:
        labelled_first: whether batches whose labelled rows come first are to be traced in two parts, so that y is enumerated
            in the other rows alone. :func:`~pyrovae.fit` says so of the data of ``few-labels``, each of whose batches has as
            many. A step compiled for one number gives NaN where a batch has another.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Eq. (6) to (9); Jang, Gu and Poole,
    Categorical Reparameterization with Gumbel-Softmax, 2017.
    """

    labelled_first = False

    def __init__(
        self,
        alpha: float = 0.1,
        base: str | Mapping[str, Any] = "elbo",
        num_particles: int = 1,
        y: str = "enumerated",
        temperature: float = 0.5,
        site: str = "y",
    ) -> None:
        super().__init__(num_particles)
        for name, value in (("alpha", alpha), ("temperature", temperature)):
            self.require_weight(name, value)
        if temperature == 0:
            raise OptionError(f"temperature is {temperature!r}; expected a positive number.")
        if y not in TREATMENTS:
            raise nearest("treatment of y", y, TREATMENTS)
        self.alpha, self.base, self.y, self.temperature, self.site = alpha, base, y, temperature, site
        base = {"name": "elbo", **base} if isinstance(base, Mapping) else base
        self.inner = base_objective(base, BASES, "semisupervised", num_particles=num_particles)
        if isinstance(self.inner, (NVIL, VIMCO, RWS)) and y != "sampled":
            name = base if isinstance(base, str) else base["name"]
            raise OptionError(f"base {name!r} is for a drawn y: give y='sampled', or base='elbo', 'meanfield' or 'iwae'.")
        if isinstance(self.inner, RWS) and self.inner.sleep:
            raise OptionError(f"base rws has sleep={self.inner.sleep:g}, and dreams have no labels; leave sleep out.")
        self.num_particles = self.inner.num_particles
        self.weights_kl = self.inner.weights_kl
        self.bound = "estimate" if y == "relaxed" else self.inner.bound

    @property
    def weights(self) -> dict[str, float]:
        """alpha, the temperature where y is relaxed, and the base's."""
        relaxed = {"temperature": self.temperature} if self.y == "relaxed" else {}
        return {"alpha": self.alpha, **relaxed, **self.inner.weights}

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """No: the classification is a mean over those rows of the batch that have labels."""
        return False

    def observe_data(self, data: Any, num_processes: int) -> None:
        """Trace in two parts where each batch of one process has its labelled rows first."""
        self.labelled_first = isinstance(data, LabelledSplit) and data.label == self.site and num_processes == 1

    def trace(self, given: Given, batch: int = 0) -> PairTrace | Parts:  # type: ignore[override]
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        rows = given.batches[batch]
        if self.site not in rows:
            raise ContractError(
                f"semisupervised needs {self.site} in the batch, (B, ...): a label, or -1 where there is none; data lack "
                f"{self.site}."
            )
        first = leading_labels(rows[self.site]) if self.labelled_first and self.splits else 0
        if not first:
            return self.trace_rows(given, rows, self.y)
        labelled, rest = ({k: v[part] for k, v in rows.items()} for part in (slice(first), slice(first, None)))
        as_expected = (labelled[self.site] >= 0).all() & (rest[self.site] < 0).all()
        return Parts(self.trace_rows(given, labelled, "known"), self.trace_rows(given, rest, "enumerated"), as_expected)

    def trace_rows(self, given: Given, rows: Mapping[str, Tensor], treatment: str) -> PairTrace:
        """The base's trace with the site fixed where it is known, and treated so elsewhere."""
        temperature, site = given.schedule.get("temperature", self.temperature), self.site
        model, guide = (Labelled(getattr(given, part), part, treatment, temperature, site) for part in ("model", "guide"))
        traced = self.inner.trace(replace(given, model=model, guide=guide, batches=[rows]))
        if site not in traced.guide_sites:
            raise ContractError(f"semisupervised needs a latent site {site!r} in both programs; this pair has none.")
        return traced

    @property
    def splits(self) -> bool:
        """Whether the bound of a batch is made of those of its rows: a penalty on the batch's mean KL is not."""
        return self.y == "enumerated" and self.inner.separable

    def terms(self, traced: PairTrace | Parts, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        alpha = schedule.get("alpha", self.alpha)
        if isinstance(traced, PairTrace):
            bound, surrogate, state = self.inner.terms(traced, schedule)
            return Terms(bound, surrogate + alpha * self.classification(traced), state)
        labelled, rest = self.inner.terms(traced.labelled, schedule), self.inner.terms(traced.rest, schedule)
        size = len(labelled.bound) + len(rest.bound)
        scores = self.classification(traced.labelled) * (size / len(labelled.bound))
        bound = torch.cat([labelled.bound, rest.bound]).where(traced.as_expected, math.nan)
        return Terms(bound, torch.cat([labelled.surrogate + alpha * scores, rest.surrogate]))

    def classification(self, traced: PairTrace) -> Tensor:
        """B / (number of labelled rows) log q(y_b | x_b), (B,): its mean over rows is that over labelled rows."""
        fn = traced.guide_sites[self.site]["fn"]
        q_y = fn.rows if isinstance(fn, Particles) else fn
        assert isinstance(q_y, (LabelledGuide, KnownValues))
        scores = q_y.log_prob_of_labels()
        scores = split_rows(scores, traced.shape[0], 0) if isinstance(fn, Particles) else scores
        scores = scores.expand(torch.broadcast_shapes(scores.shape, traced.shape)).mean(0)
        return scores * (len(q_y.labels) / q_y.known.sum().clamp_min(1))
