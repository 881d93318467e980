"""Running sums of log weights per datum, their largest ones, and Pareto smoothing of those by ArviZ."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyrovae.errors import PyrovaeError

__all__ = ["Weights", "effective", "import_arviz", "tail_length"]

SUMS = ("top", "first", "second", "logs", "squares", "count")


def import_arviz() -> Any:
    """ArviZ, imported when first needed: it takes a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # ArviZ announces its own refactoring once a day
        import arviz
    if int(arviz.__version__.split(".")[0]) >= 1:
        raise PyrovaeError(
            f"ArviZ {arviz.__version__} came, which has no InferenceData; expected 0.18 <= arviz < 1: pip install 'arviz<1'."
        )
    return arviz


def tail_length(count: int) -> int:
    """M = min(K / 5, 3 sqrt K), how many of K weights the generalized Pareto distribution is fitted to.

    References: Vehtari, Simpson, Gelman, Yao and Gabry, Pareto Smoothed Importance Sampling, 2024.

    >>> tail_length(100_000)
    949
    """
    return math.ceil(min(count / 5, 3 * math.sqrt(count)))


class Weights:
    """Log weights of B data, streamed: maximum m, sum e^(w - m), sum e^(2(w - m)), sum w, the M + 1 largest; in float64.

    Args:
        size: B.
        most: the most weights that a datum will get, which decides M; memory does not grow with it but for M.
    """

    def __init__(self, size: int, device: torch.device, most: int = 0) -> None:
        self.top = torch.full((size,), -math.inf, dtype=torch.float64, device=device)
        self.first, self.second, self.logs, self.squares, self.count = (torch.zeros_like(self.top) for _ in range(5))
        self.keep = tail_length(most) + 1
        self._largest = torch.full((size, self.keep), -math.inf, dtype=torch.float64, device=device)
        self._waiting: list[Tensor] = []

    def add(self, log_weight: Tensor, rows: Tensor | None = None) -> None:
        """k more log weights, (k, B), or of some data only, (k, rows)."""
        log_weight = log_weight.double()
        if rows is None or len(rows) == len(self.top):
            self._sum(log_weight)
            self._waiting.append(log_weight.T)
        else:  # the sums of these data alone, put back
            part = Weights(0, self.top.device)
            for name in SUMS:
                setattr(part, name, getattr(self, name)[rows])
            part._sum(log_weight)
            for name in SUMS:
                getattr(self, name)[rows] = getattr(part, name)
            self._waiting.append(log_weight.new_full((len(self.top), len(log_weight)), -math.inf))
            self._waiting[-1][rows] = log_weight.T
        if sum(chunk.shape[1] for chunk in self._waiting) >= self.keep:  # now and then, since sorting costs
            self._largest = self._sort()

    def _sum(self, log_weight: Tensor) -> None:
        top = torch.maximum(self.top, log_weight.amax(0))
        safe = torch.where(top.isinf(), 0.0, top)
        old, new = (self.top - safe).exp(), (log_weight - safe).exp()
        self.first = self.first * old + new.sum(0)
        self.second = self.second * old.square() + new.square().sum(0)
        self.logs = self.logs + log_weight.sum(0)
        self.squares = self.squares + log_weight.square().sum(0)
        self.top, self.count = top, self.count + len(log_weight)

    def _sort(self) -> Tensor:
        """The M + 1 largest of each datum, descending, (B, M + 1)."""
        largest = torch.cat([self._largest, *self._waiting], 1).topk(self.keep, 1).values
        self._waiting.clear()
        return largest

    @property
    def largest(self) -> Tensor:
        """The M + 1 largest weights of each datum, descending, (M + 1, B)."""
        self._largest = self._sort()
        return self._largest.T

    @property
    def stderr(self) -> Tensor:
        """Of the log of the mean weight, by the delta method: sd(w) / (sqrt(K) mean w)."""
        return _relative_error(self.first, self.second, self.count)

    def columns(self, psis: bool = False) -> dict[str, Tensor]:
        """What :class:`~pyrovae.evidence.Evidence` holds, (B,) each; with ``psis`` from Pareto smoothed weights."""
        first, second = self.first, self.second
        khat, change_first, change_second = self._pareto()
        if psis:
            first, second = first + change_first, second + change_second
        return {
            "value": self.top + first.log() - self.count.log(),
            "stderr": _relative_error(first, second, self.count),
            "ess": first.square() / second,
            "khat": khat,
            "elbo": self.logs / self.count,
            "elbo_stderr": ((self.squares / self.count - (self.logs / self.count).square()).clamp_min(0) / self.count).sqrt(),
            "num_weights": self.count,
        }

    def _pareto(self) -> tuple[Tensor, Tensor, Tensor]:
        """k-hat, and how smoothing changes sum e^(w - m) and sum e^(2(w - m)), (B,) each."""
        result = torch.full((3, len(self.top)), math.nan, dtype=torch.float64)
        result[1:] = 0
        even = (self.first.square() / self.second > 0.5 * self.count).cpu()  # ties in the tail of even weights are no trouble
        relative = (self.largest - self.top).cpu()
        for count in self.count.unique().tolist():
            m = tail_length(int(count))
            rows = ((self.count == count) & self.top.isfinite()).cpu().nonzero()[:, 0]
            if m < 5 or m >= self.keep or not len(rows):  # too few for a fit
                continue
            fitted = _smooth(relative[: m + 1, rows].T.numpy(), m)
            khat, smooth = torch.from_numpy(fitted[0]), torch.from_numpy(fitted[1]).T
            result[0, rows] = torch.where(khat.isinf() & even[rows], math.nan, khat)
            raw = relative[:m, rows]
            changed = raw[-1] > -600  # else hardly a weight is above zero, and nothing is smoothed
            for i, power in ((1, 1), (2, 2)):
                result[i, rows] = torch.where(changed, ((power * smooth).exp() - (power * raw).exp()).sum(0), 0.0)
        khat, change_first, change_second = result.to(self.top.device)
        return khat, change_first, change_second


def _smooth(top: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """k-hat, (n,), and the smoothed logs, (n, M), of the M + 1 largest log weights, descending, maximum 0, (n, M + 1).

    ``arviz.psislw`` fits the M largest of S weights, M = min(S / 5, 3 sqrt(S / reff)): of S = 5 M, filled up with the
    (M + 1)st, and a small reff, it fits these M, and gives what it gives for all K.
    """
    filled = np.concatenate([top, np.repeat(top[:, -1:], 4 * m - 1, axis=1)], axis=1)
    with np.errstate(all="ignore"):
        logs, khat = import_arviz().psislw(filled, reff=1e-6)
        return np.atleast_1d(khat).astype("float64"), (logs[:, :m] - logs[:, m : m + 1]) + top[:, m : m + 1]


def _relative_error(first: Tensor, second: Tensor, count: Tensor) -> Tensor:
    variance = (second / first.square() - 1 / count).clamp_min(0) * count / (count - 1).clamp_min(1)
    return torch.where(count > 1, variance.sqrt(), math.nan)


def effective(log_weight: Tensor, group: Tensor) -> dict[str, Tensor]:
    """Value, standard error and ESS of K log weights, (K, B), of which those with one number in ``group`` are kin.

    The relative variance of the mean weight is sum_g S_g^2 - 1/K, S_g a group's share of the total: that of independent
    weights where every weight is a group of its own, and a resampled population's by its first ancestors. Of one group alone
    nothing can be said: the error is NaN.

    References: Chan and Lai, A General Theory of Particle Filters, 2013; Lee and Whiteley, Variance Estimation in the
    Particle Filter, 2018.
    """
    k = len(log_weight)
    shares = torch.zeros_like(log_weight).scatter_add_(0, group, log_weight.softmax(0))
    concentration = shares.square().sum(0)
    stderr = ((concentration - 1 / k).clamp_min(0) * k / max(k - 1, 1)).sqrt()
    stderr = torch.where(concentration > 1 - 1e-9, math.nan, stderr)
    return {
        "value": log_weight.logsumexp(0) - math.log(k),
        "stderr": stderr,
        "ess": 1 / concentration,
    }
