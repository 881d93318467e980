"""Likelihoods of real numbers: with light and heavy tails, positive ones, and those strictly between 0 and 1."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyrovae.distributions import continuous
from pyrovae.distributions.likelihoods.likelihood import Scale, Spread, log_mean, logit_mean, positive

__all__ = ["Beta", "Gamma", "Gaussian", "Laplace", "LogNormal", "StudentT"]


class Gaussian(Spread):
    """x_i ~ Normal(h_i, scale_i^2).

    Args:
        shape: of x.
        scale: a number (fixed), "shared" (one learned scale) or "predicted" (by the decoder, for each dimension); the
            learned ones stay above 0.001, which bounds the density.
    """

    def __init__(self, shape: tuple[int, ...], scale: Scale = "shared") -> None:
        super().__init__(shape, "scale", scale, torch.tensor(-1.0))

    def distribution(self, loc: Tensor, *raw: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return dist.Normal(loc, self.spread(loc, raw))

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return self.beside(mean)


class Laplace(Gaussian):
    """x_i ~ Laplace(h_i, scale_i), a density: log p(x) is minus the L1 error over the scale, and its constant.

        log p(x_i) = -|x_i - h_i| / scale_i - log(2 scale_i)

    Args: as for :class:`Gaussian`.
    """

    def distribution(self, loc: Tensor, *raw: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return dist.Laplace(loc, self.spread(loc, raw))


class StudentT(Gaussian):
    """x_i ~ h_i + scale_i t, t of Student's distribution with one learned number of degrees of freedom, above 2.

    Args: as for :class:`Gaussian`.
    """

    kinds = ("unit", "real")

    def __init__(self, shape: tuple[int, ...], scale: Scale = "shared") -> None:
        super().__init__(shape, scale)
        self.raw_df = nn.Parameter(torch.tensor(2.0))

    def distribution(self, loc: Tensor, *raw: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return continuous.StudentT(2 + softplus(self.raw_df), loc, self.spread(loc, raw))


class LogNormal(Spread):
    """log x_i ~ Normal(h_i, scale_i^2), for x > 0.

    Args: as for :class:`Gaussian`; the scale is that of log x.
    """

    kinds = ("unit", "real")

    def __init__(self, shape: tuple[int, ...], scale: Scale = "shared") -> None:
        super().__init__(shape, "scale", scale, torch.tensor(-1.0))

    def distribution(self, loc: Tensor, *raw: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return continuous.LogNormal(loc, self.spread(loc, raw))

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return self.beside(log_mean(mean))


class Gamma(Spread):
    """x_i of a gamma distribution of mean exp(h_i), for x > 0 (:class:`~pyrovae.distributions.Gamma`).

    Args:
        shape: of x.
        concentration: a number (fixed), "shared" (one learned for each value of x) or "predicted" by the decoder.
    """

    kinds = ("unit", "real")

    def __init__(self, shape: tuple[int, ...], concentration: Scale = "shared") -> None:
        super().__init__(shape, "concentration", concentration, torch.zeros(shape))

    def distribution(self, log_mean: Tensor, *raw: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return continuous.Gamma(positive(log_mean), self.spread(log_mean, raw))

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return self.beside(log_mean(mean))


class Beta(Spread):
    """x_i of a beta distribution of mean sigmoid(h_i), for 0 < x < 1 (:class:`~pyrovae.distributions.Beta`).

    Args:
        shape: of x.
        precision: a number (fixed), "shared" (one learned for each value of x) or "predicted" by the decoder.
    """

    kinds = ("unit",)

    def __init__(self, shape: tuple[int, ...], precision: Scale = "shared") -> None:
        super().__init__(shape, "precision", precision, torch.ones(shape))

    def distribution(self, logits: Tensor, *raw: Tensor) -> TorchDistribution:
        """p(x | parameters), parameters (..., *shape) each."""
        return continuous.Beta(logits, self.spread(logits, raw))

    def start(self, mean: Tensor) -> Tensor | None:
        """The h, (P, *shape), whose distribution has about this mean."""
        return self.beside(logit_mean(mean))
