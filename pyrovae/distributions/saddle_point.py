"""The two functions that densities of counts and of positive numbers are computed by without cancellation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["deviance", "stirling_error"]

LARGE = 8.0  # from here on the series of Stirling's error has 11 digits
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def stirling_error(z: Tensor) -> Tensor:
    """What Stirling's formula lacks of the logarithm of z!, for z > 0, in the shape of z.

        log Gamma(z + 1) = log(2 pi z)/2 + z log z - z + stirling_error(z)

    References: Loader, Fast and Accurate Computation of Binomial Probabilities, 2000.

    >>> round(float(stirling_error(torch.tensor(1.0))), 4), round(float(stirling_error(torch.tensor(100.0))), 6)
    (0.0811, 0.000833)
    """
    small, large = z.clamp_max(LARGE), z.clamp_min(LARGE)
    direct = torch.lgamma(small + 1) - (small + 0.5) * small.log() + small - HALF_LOG_TWO_PI
    square = large * large
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / large
    return torch.where(z < LARGE, direct, series)


def deviance(x: Tensor, mean: Tensor) -> Tensor:
    """x log(x / mean) - x + mean >= 0, for x > 0 and mean > 0, exact where both are large and near each other.

    References: Loader, Fast and Accurate Computation of Binomial Probabilities, 2000 (D0).

    >>> round(float(deviance(torch.tensor(1e6), torch.tensor(1e6 + 1e3))), 3)  # about 1e3^2 / (2 * 1e6)
    0.5
    """
    near = (x - mean).abs() < 0.5 * mean
    u = torch.where(near, (x - mean) / torch.where(near, mean, 1.0), 0.0)
    close = mean * ((1 + u) * torch.log1p(u) - u)
    return torch.where(near, close, x * (x.log() - mean.log()) + mean - x)
