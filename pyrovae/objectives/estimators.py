"""The gradient estimator of discrete sites as an option of an objective: enumeration, or a relaxation while training."""

from __future__ import annotations

from dataclasses import replace

import torch

from pyrovae.core.layout import settle_particles
from pyrovae.core.trace import PairTrace
from pyrovae.distributions.supports import is_discrete
from pyrovae.effects.enumeration import Enumerated
from pyrovae.effects.relaxed import RELAXATIONS, Relaxation, Relaxed
from pyrovae.errors import ContractError, OptionError, UnusedOptionError, nearest
from pyrovae.objectives.objective import Given, Objective

__all__ = ["TEMPERATURE", "Estimated"]

TEMPERATURE = 0.5


class Estimated(Objective):
    """An objective that is told how to differentiate discrete sites.

    Attributes:
        estimators: those that the class knows.
        elsewhere: estimators that are objectives of their own -> their names.
    """

    estimators: tuple[str, ...] = ("enumerate", *RELAXATIONS)
    elsewhere: dict[str, str] = {}
    estimator: str | None = None
    temperature: float | None = None
    prior_temperature: float | None = None

    def take_estimator(self, estimator: str | None, temperature: float | None, prior_temperature: float | None) -> None:
        """Keep the options; refuses an unknown estimator, and temperatures that it has no use for."""
        if estimator in self.elsewhere:
            name = self.elsewhere[str(estimator)]
            raise OptionError(f"estimator {estimator!r} has options of its own: it is the objective {name!r}.")
        if estimator is not None and estimator not in self.estimators:
            raise nearest(f"estimator of {type(self).__name__}", estimator, (*self.estimators, *self.elsewhere))
        takes = {"temperature": ("concrete", "gumbel-straight-through"), "prior_temperature": ("concrete",)}
        for option, value in (("temperature", temperature), ("prior_temperature", prior_temperature)):
            if value is None:
                continue
            if estimator not in takes[option]:
                raise UnusedOptionError(
                    f"{option} is {value!r}, which goes with estimator {' or '.join(takes[option])}; leave it out.", option
                )
            self.require_weight(option, value)
            if value == 0:
                raise OptionError(f"{option} is {value!r}; expected a positive number.")
        self.estimator, self.temperature, self.prior_temperature = estimator, temperature, prior_temperature
        if estimator == "concrete":
            self.bound = "estimate"  # in training it is a bound on the relaxed model's density

    @property
    def relaxes(self) -> bool:  # type: ignore[override]
        """Whether training sees soft values of discrete sites."""
        return self.estimator in RELAXATIONS

    @property
    def temperatures(self) -> dict[str, float]:
        """The temperatures that are on, which a schedule may change."""
        if self.estimator not in ("concrete", "gumbel-straight-through"):
            return {}
        own = {} if self.prior_temperature is None else {"prior_temperature": self.prior_temperature}
        return {"temperature": TEMPERATURE if self.temperature is None else self.temperature, **own}

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles, discrete sites treated as told; without gradients it is the hard pair's."""
        if self.estimator == "enumerate":
            return super().trace(replace(given, model=Enumerated(given.model), guide=Enumerated(given.guide)), batch)
        if not self.relaxes:
            return super().trace(given, batch)
        if not torch.is_grad_enabled():
            traced = super().trace(given, batch)
            if not any(is_discrete(site["fn"]) for site in traced.guide_sites.values()):
                raise ContractError(
                    f"no latent site of the guide is discrete, so estimator {self.estimator!r} has nothing to do."
                )
            return traced
        settle_particles(given.model, given.guide, given.batches[batch])  # on hard values, which have their scores at any row
        kept = {name: given.schedule.get(name, value) for name, value in self.temperatures.items()}
        temperature = kept.get("temperature", 1.0)
        how = Relaxation(str(self.estimator), temperature, kept.get("prior_temperature", temperature))
        model = Relaxed(given.model, how, how.prior_temperature)
        return super().trace(replace(given, model=model, guide=Relaxed(given.guide, how, how.temperature)), batch)
