"""A particle filter between the steps of a pair: its weights, its resampling, its estimate of log p(x)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyrovae.core.step_plan import State
from pyrovae.errors import OptionError

__all__ = ["ParticleFilter", "check_threshold"]


def check_threshold(threshold: float) -> None:
    """OptionError unless a share from 0 to 1."""
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise OptionError(f"threshold is {threshold!r}; expected a share of the particles from 0 (never resample) to 1.")


class ParticleFilter:
    """What stands between the steps of :func:`~pyrovae.core.step_run.trace_steps`, and resamples where few weights count.

        p-hat = prod over the times of resampling, and the end, of (1/K) sum_k w_k,   w_k the product of a particle's step
        weights p(z_t, x_t | ...) / q(z_t | ...) since the last resampling

    Each datum is resampled on its own (multinomially), where (sum w)^2 / sum w^2 < threshold K; the choice of ancestors
    carries no gradient. p-hat is unbiased for p(x), (B,).

    Args:
        threshold: the share of effective particles under which they are resampled.

    References: Maddison et al., Filtering Variational Objectives, 2017, Algorithm 1.

    >>> between = ParticleFilter(0.5)
    >>> state = between(0, torch.tensor([[0.0], [-50.0], [-50.0]]), {"h": torch.tensor([[1.0], [2.0], [3.0]])})
    >>> state["h"].flatten().tolist(), bool((between.log_evidence - math.log(1 / 3)).abs() < 1e-6)
    ([1.0, 1.0, 1.0], True)
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self.log_weight: Tensor | None = None  # since the last resampling, (K, B)
        self.done: Tensor | None = None  # log p-hat up to there, (B,)

    def __call__(self, t: int, scores: Tensor, state: State) -> State:
        """The states, (K, B, *event), of the particles that go on after a step with these log weights, (K, B)."""
        log_weight = scores if self.log_weight is None else self.log_weight + scores
        if not self.threshold:
            self.log_weight, self.done = log_weight, log_weight.new_zeros(log_weight.shape[1])
            return state
        size = len(log_weight)
        weights = log_weight.detach().softmax(0).nan_to_num(1 / size)  # of a datum whose weights are all 0: any
        chosen = weights.square().sum(0) * (self.threshold * size) > 1
        drawn = torch.multinomial(weights.T, size, replacement=True).T
        index = torch.where(chosen, drawn, torch.arange(size, device=drawn.device).unsqueeze(1))
        mean = log_weight.logsumexp(0) - math.log(size)
        gained = torch.where(chosen, mean, torch.zeros_like(mean))
        self.done = gained if self.done is None else self.done + gained
        self.log_weight = torch.where(chosen, torch.zeros_like(log_weight), log_weight)
        rows = (index * index.shape[1] + torch.arange(index.shape[1], device=index.device)).flatten()
        return {name: _take(value, rows) for name, value in state.items()}

    @property
    def log_evidence(self) -> Tensor:
        """log p-hat, (B,), in nats."""
        assert self.log_weight is not None and self.done is not None
        return self.done + (self.log_weight.logsumexp(0) - math.log(len(self.log_weight)))


def _take(value: Tensor, rows: Tensor) -> Tensor:
    """The state of each particle's ancestor, (K, B, *event), by its row among K B; of rows, the gradient is quick."""
    return value.flatten(0, 1).index_select(0, rows).reshape(value.shape)
