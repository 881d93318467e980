"""Whether Markov chains that started apart have met: the split R-hat of each datum."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Moments", "split_rhat"]


class Moments:
    """Running mean and sum of squared deviations of K chains, (K, B, D) each, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """One more step of each chain, (K, B, D)."""
        values = values.double()
        self.count += 1
        distance = values - self.mean
        self.mean = self.mean + distance / self.count
        self.squares = self.squares + distance * (values - self.mean)


def split_rhat(*halves: Moments) -> Tensor:
    """sqrt(((n - 1) / n W + V) / W), the worst over D, (B,): n steps of a half chain, W the mean of the half chains'
    variances, V the variance of their means. One where the chains have met; NaN for halves of fewer than two steps.

    References: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin, Bayesian Data Analysis, 2013, Section 11.4.

    >>> halves = Moments(), Moments()
    >>> for step in (0.0, 1.0, 0.5):
    ...     for half in halves:
    ...         half.add(torch.tensor([step, step + 9.0]).reshape(2, 1, 1))  # two chains that never meet
    >>> bool(split_rhat(*halves) > 5)
    True
    """
    n = min(half.count for half in halves)
    if n < 2:
        return torch.full_like(halves[-1].mean[0, :, 0], torch.nan)
    within = torch.cat([half.squares / (half.count - 1) for half in halves]).mean(0)
    between = torch.cat([half.mean for half in halves]).var(0)
    ratio = ((n - 1) / n * within + between) / within
    return torch.where((within == 0) & (between == 0), 1.0, ratio).sqrt().amax(-1)  # what does not move has nowhere to go
