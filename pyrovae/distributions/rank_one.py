"""Gaussians whose precision is a diagonal and a rank-one matrix."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl

__all__ = ["RankOnePrecisionGaussian"]


class RankOnePrecisionGaussian(TorchDistribution):
    """A Gaussian of precision D + u u', in time and memory linear in d; ``log_prob`` in nats, (*batch_shape).

        N(z; m, C),   C = D^-1 - eta a a',   a = D^-1 u,   eta = 1 / (1 + u'a),   log |C| = log eta - log |D|
        draws:        m + D^-1/2 e - c (u'D^-1/2 e) a,   c = 1 / (1 + u'a + sqrt(1 + u'a)),   e ~ N(0, I)

    c is (1 - sqrt(eta)) / u'a written without the division by u'a, so that u = 0 is the diagonal Gaussian.

    Args:
        loc: m, (*batch_shape, d).
        log_diagonal: log D, (*batch_shape, d).
        factor: u, (*batch_shape, d).

    References: Rezende, Mohamed and Wierstra, Stochastic Backpropagation and Approximate Inference in Deep Generative Models,
    2014, Section 4.3 and Eq. (20).

    >>> fn = RankOnePrecisionGaussian(torch.zeros(2), torch.zeros(2), torch.tensor([1.0, 0.0]))
    >>> fn.variance, round(float(fn.log_prob(torch.zeros(2))), 4)
    (tensor([0.5000, 1.0000]), -1.4913)
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "log_diagonal": constraints.real_vector,
        "factor": constraints.real_vector,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, log_diagonal: Tensor, factor: Tensor, validate_args: bool | None = None) -> None:
        self.loc, self.log_diagonal, self.factor = torch.broadcast_tensors(loc, log_diagonal, factor)
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> RankOnePrecisionGaussian:
        """The same distribution with this batch shape."""
        shape = (*batch_shape, *self.event_shape)
        parts = (each.expand(shape) for each in (self.loc, self.log_diagonal, self.factor))
        return RankOnePrecisionGaussian(*parts, validate_args=False)

    @property
    def _direction(self) -> tuple[Tensor, Tensor]:
        """a = D^-1 u, and u'a, (*batch_shape)."""
        a = (-self.log_diagonal).exp() * self.factor
        return a, (self.factor * a).sum(-1)

    @property
    def mean(self) -> Tensor:
        """m."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """m."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The diagonal of C."""
        a, length = self._direction
        return (-self.log_diagonal).exp() - a.square() / (1 + length).unsqueeze(-1)

    @property
    def log_det(self) -> Tensor:
        """log |C|, (*batch_shape)."""
        return -self._direction[1].log1p() - self.log_diagonal.sum(-1)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Reparameterized draws, (*sample_shape, *batch_shape, d)."""
        shape = (*sample_shape, *self.batch_shape, *self.event_shape)
        scaled = (-0.5 * self.log_diagonal).exp() * torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        a, length = self._direction
        along = (self.factor * scaled).sum(-1) / (1 + length + (1 + length).sqrt())
        return self.loc + scaled - along.unsqueeze(-1) * a

    def log_prob(self, value: Tensor) -> Tensor:
        """log N(z; m, C), (*batch_shape), in nats."""
        centred = value - self.loc
        square = (self.log_diagonal.exp() * centred.square()).sum(-1) + (self.factor * centred).sum(-1).square()
        return -0.5 * (square + self.log_det + self.event_shape[0] * math.log(2 * math.pi))

    def entropy(self) -> Tensor:
        """(d (1 + log 2 pi) + log |C|) / 2, (*batch_shape), in nats."""
        return 0.5 * (self.event_shape[0] * (1 + math.log(2 * math.pi)) + self.log_det)


@register_kl(RankOnePrecisionGaussian, torch.distributions.Independent)
def _kl_factorized(q: RankOnePrecisionGaussian, p: torch.distributions.Independent) -> Tensor:
    """KL(N(m, C) || N(b, diag s^2)) = 1/2 sum_i [(C_ii + (m_i - b_i)^2) / s_i^2 - 1 + log s_i^2] - 1/2 log |C|."""
    normal = p.base_dist
    if not isinstance(normal, torch.distributions.Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    fit = (q.variance + (q.mean - normal.mean).square()) / normal.variance - 1 + normal.variance.log()
    return 0.5 * (fit.sum(-1) - q.log_det)
