"""What an estimator of the evidence returns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

__all__ = ["Evidence", "mean_and_error"]


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean over data and its standard error s / sqrt(N) (NaN for a single datum).

    >>> import torch
    >>> mean, error = mean_and_error(torch.tensor([1.0, 2.0, 3.0]))
    >>> round(mean, 3), round(error, 3)
    (2.0, 0.577)
    """
    values = values.double()
    error = values.std() / len(values) ** 0.5 if len(values) > 1 else values.new_tensor(float("nan"))
    return float(values.mean()), float(error)


@dataclass(frozen=True, repr=False)
class Evidence:
    """Estimates of log p(x_b) for N data, in nats.

    Attributes:
        value: (N,), the estimates.
        stderr: (N,), their Monte Carlo standard errors.
        ess: (N,), effective sample sizes (sum w)^2 / sum w^2 of the K weights.
        elbo: (N,), the mean of the K log weights, E_q[log w].
        num_samples: K.
        bound: the side of log p(x) on which the estimate lies in expectation.
    """

    value: Tensor
    stderr: Tensor
    ess: Tensor
    elbo: Tensor
    num_samples: int
    method: str = "importance"
    bound: str = "lower"

    @cached_property
    def mean(self) -> float:
        """Mean over the data, in nats per datum."""
        return mean_and_error(self.value)[0]

    @cached_property
    def mean_stderr(self) -> float:
        """Standard error of :attr:`mean`: the spread over data, which holds the Monte Carlo spread too."""
        return mean_and_error(self.value)[1]

    @cached_property
    def mean_mc_stderr(self) -> float:
        """The Monte Carlo part of :attr:`mean_stderr`, sqrt(sum_b stderr_b^2) / N: the error for just these data."""
        return float(self.stderr.double().square().sum().sqrt() / len(self.stderr))

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return (
            f"log p(x) = {self.mean:.3f} +- {self.mean_stderr:.3f} nats per datum ({self.bound} bound in expectation; "
            f"{self.method}, {len(self)} data x {self.num_samples} samples; Monte Carlo error {self.mean_mc_stderr:.4f}, "
            f"median ESS {float(self.ess.median()):.1f})"
        )

    def to_json(self) -> dict[str, Any]:
        """The summary, without the per-datum values."""
        return {
            "method": self.method,
            "bound": self.bound,
            "num_data": len(self),
            "num_samples": self.num_samples,
            "mean": self.mean,
            "mean_stderr": self.mean_stderr,
            "mean_mc_stderr": self.mean_mc_stderr,
            "median_ess": float(self.ess.median()),
        }
