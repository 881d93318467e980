"""The product of distributions of unlike columns, as of a table's."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

__all__ = ["Columns"]


class _OfEach(constraints.Constraint):
    """Each column's own support."""

    def __init__(self, supports: Sequence[constraints.Constraint]) -> None:
        self.supports = supports

    def check(self, value: Tensor) -> Tensor:
        """Which values lie in their column's support."""
        return torch.stack([own.check(value[..., i]) for i, own in enumerate(self.supports)], -1)

    def __repr__(self) -> str:
        return f"of each column: {', '.join(map(repr, self.supports))}"


class Columns(TorchDistribution):
    """D columns side by side, each of a distribution of its own; ``log_prob`` is in nats, (*batch_shape, D).

        log p(x) = sum_i log p_i(x_i),   of ``Columns(parts).to_event(1)``

    A column of classes holds their numbers, as floats; its mean is the number of the most probable class.

    Args:
        parts: of each column, a distribution of one number, all of one batch shape.

    >>> fn = Columns([dist.Normal(torch.zeros(5), 1.0), dist.Categorical(logits=torch.zeros(5, 4))])
    >>> fn.log_prob(torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, parts: Sequence[TorchDistribution], validate_args: bool | None = None) -> None:
        self.parts = list(parts)
        super().__init__(torch.Size([*self.parts[0].batch_shape, len(self.parts)]), validate_args=validate_args)

    @constraints.dependent_property(event_dim=0)
    def support(self) -> constraints.Constraint:
        """Where the density is not zero."""
        return _OfEach([part.support for part in self.parts])

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Columns:
        """The same distribution with this batch shape, the last of which is D."""
        new = self._get_checked_instance(Columns, _instance)
        new.parts = [part.expand(torch.Size(batch_shape[:-1])) for part in self.parts]
        super(Columns, new).__init__(torch.Size(batch_shape), validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """log p of each value, in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        scores = [part.log_prob(value[..., i]) for i, part in enumerate(self.parts)]
        return torch.stack(torch.broadcast_tensors(*scores), -1)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape), without gradient."""
        with torch.no_grad():
            drawn = [part.sample(sample_shape) for part in self.parts]
            return _stack(drawn)

    @property
    def mean(self) -> Tensor:
        """The means, (*batch_shape); of classes the most probable one's number."""
        means = [part.probs.argmax(-1) if isinstance(part, dist.Categorical) else part.mean for part in self.parts]
        return _stack(means)


def _stack(values: Sequence[Tensor]) -> Tensor:
    """Columns of one dtype, that of those which are no numbers of classes, side by side."""
    floats = [each.dtype for each in values if each.is_floating_point()]
    return torch.stack([each.to(floats[0] if floats else torch.get_default_dtype()) for each in values], -1)
