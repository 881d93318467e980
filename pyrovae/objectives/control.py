"""ControlVAE's objective: the weight of the KL is steered so that the KL settles at a set point."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyrovae.core.trace import PairTrace
from pyrovae.errors import OptionError
from pyrovae.objectives.objective import Given, Update, Updates
from pyrovae.objectives.total_correlation import Disentangling

__all__ = ["Control"]


class Control(Disentangling):
    """The ELBO with its KL weighted by a controller, proportional and integral, of the KL's mean over the batch.

        E_q[log p(x | z)] - beta_t KL,   beta_t = least + K_p / (1 + exp(e_t)) + I_t, at most ``most``
        e_t = capacity - KL,   I_t = I_{t-1} - K_i e_t, kept in 0..most - least

    beta rises while the KL is above the capacity and falls while it is below, so that the KL settles there, if the pair has a
    larger one at ``least`` and a smaller one at ``most``. I is kept in its range, so that it has nothing to work off
    when the KL comes back. What is reported is the ELBO, a lower bound on log p(x), in nats per datum, (B,). Logged: ``beta``
    and the ``kl`` of the batch.

    Args:
        capacity: the set point of the KL, in nats per datum; may be scheduled.
        proportional: K_p.
        integral: K_i, for each step.
        least: of beta.
        most: of beta.
        kl: "analytic" where it has a closed form, or "sampled".
        num_particles: K draws a datum.

    References: Shao et al., ControlVAE: Controllable Variational Autoencoder, 2020, Eq. (6) to (9) and Algorithm 1.
    """

    separable = False

    def __init__(
        self,
        capacity: float = 10.0,
        proportional: float = 0.01,
        integral: float = 0.001,
        least: float = 0.0,
        most: float = 100.0,
        kl: str = "analytic",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl, num_particles)
        chosen = {"capacity": capacity, "proportional": proportional, "integral": integral, "least": least, "most": most}
        for name, value in chosen.items():
            self.require_weight(name, value)
        if not least < most:
            raise OptionError(f"most is {most!r}; expected a number above least, which is {least!r}.")
        self.capacity, self.proportional, self.integral, self.least, self.most = chosen.values()

    @property
    def weights(self) -> dict[str, float]:
        """The set point."""
        return {"capacity": self.capacity}

    @property
    def lacks_networks(self) -> bool:
        """Whether the controller has no state yet."""
        return self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Start the controller's integral at 0, once."""
        if self.networks is None:
            self.networks = Integral().to(traced.data.device)

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        self.build(traced)
        assert isinstance(self.networks, Integral)
        bound = self.elbo.terms(traced).bound
        likelihood = traced.log_likelihood.mean(0)
        kl = likelihood - bound
        mean = kl.detach().mean()
        error = given.schedule.get("capacity", self.capacity) - mean
        total = (self.networks.total - self.integral * error).clamp(0, self.most - self.least)
        beta = (self.least + self.proportional * torch.sigmoid(-error) + total).clamp(max=self.most)
        figures = {"beta": beta, "kl": mean}
        yield Update("pair", -(likelihood - beta * kl).mean(), bound, figures=figures)
        return {self.networks.total: total.detach(), **traced.next_state()}


class Integral(nn.Module):
    """I, 0-d."""

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(()))
