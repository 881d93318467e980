"""Distributions of pixels with finitely many levels."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid

__all__ = ["DiscretizedLogistic", "Levels", "LevelsCategorical"]


class Levels(constraints.Constraint):
    """The grid {0, 1/(levels-1), ..., 1} times its top."""

    is_discrete = True

    def __init__(self, levels: int, top: float = 1.0) -> None:
        self.levels, self.top = levels, top

    def check(self, value: Tensor) -> Tensor:
        """Which values lie on the grid."""
        index = value / self.top * (self.levels - 1)
        return (value >= 0) & (value <= self.top) & ((index - index.round()).abs() < 1e-2)

    def __repr__(self) -> str:
        return f"levels k/{self.levels - 1}" if self.top == 1 else f"levels 0, ..., {self.top:g}"


class DiscretizedLogistic(TorchDistribution):
    """A logistic distribution in L levels, as of the bytes of a pixel; ``log_prob`` is in nats, (*batch_shape).

        P(x = k/(L-1)) = F((x + h - loc)/scale) - F((x - h - loc)/scale),   F the logistic cdf, h = 1/(2(L-1))

    The lowest level takes all mass below it, the highest all mass above. Computed without cancellation by
    F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)).

    Args:
        loc, scale: of the logistic, on the scale of x in [0, 1]; any common batch shape.
        levels: L, 256 for bytes.

    References: Kingma et al., Improved Variational Inference with Inverse Autoregressive Flow, 2016;
    Salimans et al., PixelCNN++, 2017, Section 2.1.

    >>> d = DiscretizedLogistic(torch.tensor(0.3), torch.tensor(0.1), levels=4)
    >>> round(float(d.log_prob(torch.arange(4) / 3).exp().sum()), 6)
    1.0
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Tensor, scale: Tensor, levels: int = 256, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        self.levels = levels
        super().__init__(self.loc.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """Where the density is not zero."""
        return Levels(self.levels)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> DiscretizedLogistic:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(DiscretizedLogistic, _instance)
        new.loc, new.scale, new.levels = self.loc.expand(batch_shape), self.scale.expand(batch_shape), self.levels
        super(DiscretizedLogistic, new).__init__(batch_shape, validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        half = 0.5 / (self.levels - 1)
        upper = (value + half - self.loc) / self.scale
        lower = (value - half - self.loc) / self.scale
        width = torch.log(-torch.expm1(-2 * half / self.scale))
        below, above = logsigmoid(upper), logsigmoid(-lower)
        return torch.where(value <= half, below, torch.where(value >= 1 - half, above, below + above + width))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape, *event_shape), without gradient."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device).clamp(1e-7, 1 - 1e-7)
            value = self.loc + self.scale * torch.logit(uniform)
            return (value.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)

    @property
    def mean(self) -> Tensor:
        """E[x] = 1/(L-1) sum_{k=1}^{L-1} P(x >= k/(L-1))."""
        edges = [(k - 0.5) / (self.levels - 1) for k in range(1, self.levels)]
        return sum(torch.sigmoid((self.loc - edge) / self.scale) for edge in edges) / (self.levels - 1)


class LevelsCategorical(TorchDistribution):
    """One free probability for each of L levels of a pixel; ``log_prob`` is in nats, (*batch_shape).

        P(x = k/(L-1)) = softmax(logits)_k

    Args:
        logits: (..., L).

    References: van den Oord, Kalchbrenner and Kavukcuoglu, Pixel Recurrent Neural Networks, 2016, Section 2.2.

    >>> LevelsCategorical(torch.zeros(2, 4)).log_prob(torch.tensor([0.0, 1.0])).exp()
    tensor([0.2500, 0.2500])
    """

    arg_constraints = {"logits": constraints.independent(constraints.real, 1)}

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits.log_softmax(-1)
        self.levels = logits.shape[-1]
        super().__init__(logits.shape[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """Where the density is not zero."""
        return Levels(self.levels)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> LevelsCategorical:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(LevelsCategorical, _instance)
        new.logits, new.levels = self.logits.expand(*batch_shape, self.levels), self.levels
        super(LevelsCategorical, new).__init__(batch_shape, validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        index = (value * (self.levels - 1)).round().long()
        shape = torch.broadcast_shapes(index.shape, self.logits.shape[:-1])
        logits = self.logits.expand(*shape, self.levels)
        return logits.gather(-1, index.expand(shape).unsqueeze(-1)).squeeze(-1)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape, *event_shape), without gradient."""
        with torch.no_grad():
            return dist.Categorical(logits=self.logits).sample(sample_shape).to(self.logits.dtype) / (self.levels - 1)

    @property
    def mean(self) -> Tensor:
        """The mean, (*batch_shape, *event_shape)."""
        grid = torch.arange(self.levels, dtype=self.logits.dtype, device=self.logits.device) / (self.levels - 1)
        return (self.logits.exp() * grid).sum(-1)
