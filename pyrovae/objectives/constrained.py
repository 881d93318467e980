"""A bound whose KL is made small under a constraint on the distortion, by a multiplier that moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pyrovae.core.trace import PairTrace
from pyrovae.errors import OptionError
from pyrovae.objectives.elbo import ELBO, MeanField
from pyrovae.objectives.nested import Nested
from pyrovae.objectives.objective import Given, Objective, Update, Updates
from pyrovae.objectives.wrapper import Wrapper, base_objective

__all__ = ["Constrained"]

BASES: dict[str, type[Objective]] = {"elbo": ELBO, "meanfield": MeanField, "nested": Nested}


class Constrained(Wrapper):
    """Minimize the KL subject to a distortion of at most D: a Lagrangian whose multiplier 1 / beta moves with the error.

        loss = C + beta_t KL,   C = E_q[-log p(x | z)], the distortion, in nats per datum
        C_t  = decay C_t-1 + (1 - decay) C,   delta = C_t - D
        beta_t = beta_t-1 exp(-rate delta) if delta > 0, else beta_t-1 exp(rate tanh(slope (beta_t-1 - 1)) delta)

    beta stays at ``start`` until the constraint is first met; from there it falls while the distortion is too large and goes
    to 1 while it is not, so that a constraint which the bound's optimum meets ends at the bound itself, a lower bound on
    log p(x), in nats per datum, (B,), which is what is reported. Logged: ``beta`` and the ``distortion`` of the batch. D is of
    a whole datum: one told per pixel is to be multiplied by their number. (The paper's second layer stands still until the
    constraint is met; here it moves with the rest.)

    Args:
        base: the bound: 'elbo', 'meanfield' or 'nested', or a mapping of its options.
        distortion: D, in nats per datum; it may be scheduled. It is negative of densities that exceed 1.
        rate: nu, of beta, for each step.
        slope: tau, how fast beta goes to 1.
        start: of beta.
        decay: of the moving average.

    References: Klushyn, Chen, Kurle, Cseke and van der Smagt, Learning Hierarchical Priors in VAEs, 2019, Section 2.3 and
    Algorithm 1; Rezende and Viola, Taming VAEs, 2018, Section 3.
    """

    networks: nn.Module | None = None
    separable = False

    def __init__(
        self,
        base: str | Mapping[str, Any] = "elbo",
        distortion: float = 80.0,
        rate: float = 1e-4,
        slope: float = 1.0,
        start: float = 0.01,
        decay: float = 0.99,
    ) -> None:
        self.inner = base_objective(base, BASES, "constrained")
        for name, usual in (("beta", 1.0), ("capacity", None), ("free_bits", 0.0)):
            if getattr(self.inner, name, usual) != usual:
                raise OptionError(f"{name} of the base weighs its KL, which constrained does itself; leave it out.")
        super().__init__(self.inner.num_particles)
        for name, value in {"rate": rate, "slope": slope, "start": start, "decay": decay}.items():
            self.require_weight(name, value)
        if isinstance(distortion, bool) or not isinstance(distortion, (int, float)) or not math.isfinite(distortion):
            raise OptionError(f"distortion is {distortion!r}; expected a finite number of nats per datum.")
        if decay >= 1:
            raise OptionError(f"decay is {decay!r}; expected a number from 0 to below 1.")
        self.base, self.distortion, self.rate, self.slope, self.start, self.decay = base, distortion, rate, slope, start, decay

    @property
    def weights(self) -> dict[str, float]:
        """The constraint."""
        return {"distortion": self.distortion}

    @property
    def lacks_networks(self) -> bool:
        """Whether the multiplier has no state yet."""
        return self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Start the multiplier, once."""
        if self.networks is None:
            self.networks = Multiplier(self.start).to(traced.data.device)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The base's trace."""
        return self.inner.trace(given, batch)

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        self.build(traced)
        assert isinstance(self.networks, Multiplier)
        likelihood = traced.log_likelihood.detach()
        distortion = -(traced.expect(likelihood) if likelihood.dim() > 2 else likelihood).mean()
        most = given.schedule.get("distortion", self.distortion)
        beta, state = self.networks.moved(distortion, most, self.rate, self.slope, self.decay)
        own = {name: value for name, value in given.schedule.items() if name != "distortion"}
        bound, surrogate, more = self.inner.terms(traced, {**own, "beta": beta})
        figures = {"beta": beta, "distortion": distortion}
        yield Update("pair", -surrogate.mean(), bound, figures=figures)
        return {**state, **more, **traced.next_state()}


class Multiplier(nn.Module):
    """beta, the moving average of the distortion, whether there is one yet, and whether the constraint was ever met, 0-d."""

    beta: Tensor
    average: Tensor
    begun: Tensor
    met: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        self.register_buffer("beta", torch.tensor(start))
        for name in ("average", "begun", "met"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def moved(
        self, distortion: Tensor, most: Tensor | float, rate: float, slope: float, decay: float
    ) -> tuple[Tensor, dict[Tensor, Tensor]]:
        """beta of this step, and the buffers after it."""
        average = torch.where(self.begun > 0, torch.lerp(distortion, self.average, decay), distortion)
        delta = average - most
        met = torch.where(delta <= 0, torch.ones_like(delta), self.met)
        way = torch.where(delta > 0, -torch.ones_like(delta), torch.tanh(slope * (self.beta - 1)))
        beta = torch.where(met > 0, self.beta * torch.exp(rate * way * delta), self.beta)
        return beta, {self.beta: beta, self.average: average, self.begun: torch.ones_like(met), self.met: met}
