"""The distribution of levels that have an order and no distance: a cumulative logit."""

from __future__ import annotations

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from pyrovae.distributions.levels import Levels

__all__ = ["Ordinal"]


class Ordinal(TorchDistribution):
    """L levels in their order; ``log_prob`` is in nats, (*batch_shape).

        P(x <= k top/(L-1)) = sigmoid(threshold_k - loc),   k = 0, ..., L-2

    Computed without cancellation by F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)).

    Args:
        loc: (...): the larger, the higher the level.
        thresholds: increasing, (..., L-1).
        top: the highest level; L-1 makes the levels their numbers.

    References: McCullagh, Regression Models for Ordinal Data, 1980, Eq. (2.1).

    >>> fn = Ordinal(torch.tensor(0.3), torch.tensor([-1.0, 0.5]))
    >>> round(float(fn.log_prob(torch.tensor([0.0, 0.5, 1.0])).exp().sum()), 6)
    1.0
    """

    arg_constraints = {"loc": constraints.real, "thresholds": constraints.independent(constraints.real, 1)}

    def __init__(self, loc: Tensor, thresholds: Tensor, top: float = 1.0, validate_args: bool | None = None) -> None:
        batch_shape = torch.broadcast_shapes(loc.shape, thresholds.shape[:-1])
        self.loc, self.thresholds = loc.expand(batch_shape), thresholds.expand(*batch_shape, -1)
        self.levels, self.top = thresholds.shape[-1] + 1, top
        super().__init__(batch_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """Where the density is not zero."""
        return Levels(self.levels, self.top)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Ordinal:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(Ordinal, _instance)
        new.loc, new.thresholds = self.loc.expand(batch_shape), self.thresholds.expand(*batch_shape, -1)
        new.levels, new.top = self.levels, self.top
        super(Ordinal, new).__init__(torch.Size(batch_shape), validate_args=False)
        return new

    @property
    def log_probs(self) -> Tensor:
        """log P of each level, (*batch_shape, L)."""
        edges = self.thresholds - self.loc.unsqueeze(-1)
        upper, lower = logsigmoid(edges), logsigmoid(-edges)  # log F and log (1 - F)
        inner = upper[..., 1:] + lower[..., :-1] + torch.log(-torch.expm1(-self.thresholds.diff(dim=-1)))
        return torch.cat([upper[..., :1], inner, lower[..., -1:]], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(value), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        index = (value / self.top * (self.levels - 1)).round().long().clamp(0, self.levels - 1).unsqueeze(-1)
        log_probs = self.log_probs
        shape = torch.broadcast_shapes(index.shape[:-1], log_probs.shape[:-1])
        return log_probs.expand(*shape, -1).gather(-1, index.expand(*shape, 1)).squeeze(-1)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape), without gradient."""
        with torch.no_grad():
            drawn = torch.distributions.Categorical(logits=self.log_probs, validate_args=False).sample(sample_shape)
            return drawn.to(self.loc.dtype) * (self.top / (self.levels - 1))

    @property
    def mean(self) -> Tensor:
        """E[x] = top/(L-1) sum_{k=0}^{L-2} P(x > k top/(L-1)), (*batch_shape)."""
        return torch.sigmoid(self.loc.unsqueeze(-1) - self.thresholds).sum(-1) * (self.top / (self.levels - 1))
