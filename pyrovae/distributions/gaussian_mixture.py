"""A mixture of many Gaussians that all data share."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

__all__ = ["GaussianMixture"]


class GaussianMixture(TorchDistribution):
    """log p(z) = log (1/M) sum_m N(z; loc_m, diag scale_m^2), exact: Pyro's MixtureSameFamily for large M.

    The squares (z - loc_m)^2 / scale_m^2 come from two products of matrices, in float64, since their terms cancel: for each
    z it holds M numbers, not M x d. Draws are not reparameterized; they are for generation.

    Args:
        loc, scale: (M, d), the same for all data.

    >>> mixture = GaussianMixture(torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
    >>> mixture.log_prob(torch.zeros(3, 1)).exp(), mixture.mean
    (tensor([0.2420, 0.2420, 0.2420]), tensor([0.]))
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        super().__init__(torch.Size(), self.loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> GaussianMixture:
        new = self._get_checked_instance(GaussianMixture, _instance)
        new.loc, new.scale = self.loc, self.scale
        super(GaussianMixture, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z, loc, scale = value.double(), self.loc.double(), self.scale.double()
        precision = scale.square().reciprocal()
        squares = z.square() @ precision.mT - 2 * z @ (loc * precision).mT + (loc.square() * precision).sum(-1)
        log_norm = scale.log().sum(-1) + 0.5 * math.log(2 * math.pi) * loc.shape[1] + math.log(len(loc))
        log_prob = torch.logsumexp(-0.5 * squares - log_norm, -1)
        return log_prob.to(value.dtype).expand(torch.broadcast_shapes(log_prob.shape, self.batch_shape))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.batch_shape
            component = torch.randint(len(self.loc), shape, device=self.loc.device)
            return torch.normal(self.loc[component], self.scale[component])

    @property
    def mean(self) -> Tensor:
        return self.loc.mean(0).expand(*self.batch_shape, -1)

    @property
    def variance(self) -> Tensor:
        return (self.scale.square().mean(0) + self.loc.var(0, correction=0)).expand(*self.batch_shape, -1)
