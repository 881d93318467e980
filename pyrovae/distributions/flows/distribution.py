"""The distribution of z = T_n(... T_1(z0)), by Pyro's and Zuko's transforms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Transform, constraints

__all__ = ["FlowDistribution"]


class FlowDistribution(TorchDistribution):
    """A base distribution bent by transforms; its log density is exact, in nats, (*batch_shape).

        log q(z) = log q_0(z0) - sum_i log |det dT_i / dz_i-1|,   z = T_n(... T_1(z0))

    A draw is scored by the determinants on its way, with the full gradient. Any other value is scored by inverse transforms,
    where all have one; else NotImplementedError. (Torch's TransformedDistribution would take a value that it has inverted
    before from the transforms' caches, with the graph of that time.)

    Args:
        base: q_0, over vectors, (..., d).
        transforms: T_1, ..., T_n, whose parameters broadcast with (..., d).

    References: Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015, Section 3.

    >>> import pyro.distributions as dist
    >>> from pyrovae.distributions.flows import Planar
    >>> flow = Planar(2, num_flows=3, amortized=False)
    >>> q = FlowDistribution(dist.Normal(torch.zeros(5, 2), 1.0).to_event(1), flow.transforms(torch.zeros(5, 0)))
    >>> q.log_prob(q.rsample()).shape
    torch.Size([5])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: TorchDistribution, transforms: Iterable[Transform], validate_args: bool | None = None) -> None:
        self.base, self.transforms = base, list(transforms)
        self._drawn: tuple[Tensor, Tensor, bool] | None = None
        super().__init__(base.batch_shape, base.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> FlowDistribution:
        """The same distribution with this batch shape."""
        return FlowDistribution(self.base.expand(batch_shape), self.transforms, validate_args=False)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Reparameterized draws, (*sample_shape, *batch_shape, *event_shape)."""
        z = self.base.rsample(sample_shape)
        log_prob = self.base.log_prob(z)
        for transform in self.transforms:
            z, log_det = transform.call_and_ladj(z)  # which Zuko gives to all transforms of torch
            log_prob = log_prob - log_det
        self._drawn = z, log_prob, torch.is_grad_enabled()
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), in nats, (*batch_shape)."""
        if self._drawn is not None:
            drawn, log_prob, has_graph = self._drawn
            if value is drawn and (has_graph or not torch.is_grad_enabled()):
                return log_prob
        total: Tensor | float = 0.0
        for transform in reversed(self.transforms):
            value = self._inverse(transform, value)
            total = total - transform.call_and_ladj(value)[1]
        return self.base.log_prob(value) + total

    @staticmethod
    def _inverse(transform: Transform, value: Tensor) -> Tensor:
        try:
            return transform._inverse(value)  # not transform.inv(value), which would remember it
        except (KeyError, NotImplementedError):  # Pyro's transforms raise the former
            raise NotImplementedError(
                f"a flow of {type(transform).__name__} transforms has no inverse, so it scores only draws of its own"
            ) from None
