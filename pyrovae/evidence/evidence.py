"""What an estimator of the evidence returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyrovae.distributions.rbm import LogNormalizer
from pyrovae.errors import OptionError
from pyrovae.evidence.normalizers import combined_side, common_error
from pyrovae.evidence.weights import import_arviz
from pyrovae.plots import estimates

if TYPE_CHECKING:
    from arviz import InferenceData
    from matplotlib.figure import Figure

__all__ = ["Evidence", "mean_and_error"]

MIN_EFFECTIVE_WEIGHTS = 2  # effective weights, under which one weight is most of the sum
RHAT_LIMIT = 1.2  # split R-hat above which chains have not met
KHAT_LIMIT = 0.7  # k-hat above which an importance sampling estimate and its error are not to be trusted (Vehtari et al. 2024)


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

    What a method does not define is NaN.

    Attributes:
        value: (N,), the estimates.
        stderr: (N,), their Monte Carlo standard errors, that of log Z included.
        ess: (N,), effective sample sizes (sum w)^2 / sum w^2 of the weights.
        khat: (N,), the Pareto shape of the largest weights: above 0.7 neither value nor stderr is to be trusted.
        elbo: (N,), the mean of the log weights, E_q[log w], and ``elbo_stderr`` its standard error.
        acceptance: (N,), mean acceptance rate of HMC.
        rhat: (N,), split R-hat of the posterior's chains: above 1.2 they have not met, and a mode's mass may be missing.
        num_weights: (N,), how many weights each datum got.
        passes: (N,), evaluations of the model for each datum, pilot runs included.
        method: the estimator's name.
        bound: on which side of log p(x) the value lies in expectation: lower, upper, estimate for neither, exact.
        options: of the method, and the seed.
        normalizers: log Z, its error and side, of each site of the model that is known up to it.

    References: Vehtari, Simpson, Gelman, Yao and Gabry, Pareto Smoothed Importance Sampling, 2024 (k-hat).
    """

    value: Tensor
    stderr: Tensor
    ess: Tensor
    khat: Tensor
    elbo: Tensor
    elbo_stderr: Tensor
    acceptance: Tensor
    rhat: Tensor
    num_weights: Tensor
    passes: Tensor
    method: str = "importance"
    bound: str = "lower"
    options: Mapping[str, Any] = field(default_factory=dict)
    normalizers: Mapping[str, LogNormalizer] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Tensor],
        method: str,
        bound: str,
        options: Mapping[str, Any],
        normalizers: Mapping[str, LogNormalizer] | None = None,
    ) -> Evidence:
        """From the columns that a method has, the others being NaN, with the errors of what was subtracted as log Z."""
        missing = torch.full_like(columns["value"], math.nan)
        found = {name: columns.get(name, missing) for name in COLUMNS}
        if normalizers:
            bound, error = combined_side(bound, normalizers), common_error(normalizers)
            found["stderr"] = found["stderr"].square().add(error**2).sqrt()
        return cls(**found, method=method, bound=bound, options=options, normalizers=normalizers or {})

    @cached_property
    def mean(self) -> float:
        """Mean over the data, in nats per datum."""
        return mean_and_error(self.value)[0]

    @cached_property
    def mean_stderr(self) -> float:
        """Standard error of :attr:`mean`: the spread over data, which holds the Monte Carlo spread too, and log Z's error."""
        return math.hypot(mean_and_error(self.value)[1], common_error(self.normalizers))

    @cached_property
    def mean_mc_stderr(self) -> float:
        """The Monte Carlo part of :attr:`mean_stderr`, sqrt(sum_b stderr_b^2) / N: the error for just these data.

        The error of log Z is the same for all data, and is not averaged out.
        """
        common = common_error(self.normalizers)
        own = (self.stderr.double().square() - common**2).clamp(min=0.0)
        return math.hypot(float(own.sum().sqrt()) / len(own), common)

    def per(self, counts: Tensor) -> tuple[float, float]:
        """The total over the data by the total of ``counts``, (N,), such as steps or tokens, in nats each; its standard error.

        The error is that of a ratio: sqrt(N) sd(v_b - ratio c_b) / sum c. The mean of the data's own ratios is another figure.
        """
        counts = counts.to(self.value)
        ratio = self.value.sum() / counts.sum()
        spread = mean_and_error(self.value - ratio * counts)[1] * len(counts) / float(counts.sum())
        return float(ratio), spread

    @property
    def num_samples(self) -> int:
        """K, the weights of a datum (the most, where data got different numbers)."""
        return int(self.num_weights.max())

    @property
    def heavy(self) -> Tensor:
        """Row numbers of the data whose k-hat is above 0.7, worst first."""
        rows = (self.khat > KHAT_LIMIT).nonzero()[:, 0]
        return rows[self.khat[rows].argsort(descending=True)]

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        if self.bound == "exact":
            notes = f"exact, {len(self)} data"
        else:
            side = "neither bound" if self.bound == "estimate" else f"{self.bound} bound in expectation"
            notes = f"{side}; {self.method}, {len(self)} data x {self._weights}; Monte Carlo error {self.mean_mc_stderr:.4f}"
        if bool(self.ess.isfinite().any()):
            notes += f", median ESS {float(self.ess.median()):.1f}"
        if bool(self.acceptance.isfinite().any()):
            low, mean, high = (float(f()) for f in (self.acceptance.min, self.acceptance.mean, self.acceptance.max))
            notes += f", acceptance {mean:.2f} ({low:.2f} to {high:.2f})"
        for site, found in self.normalizers.items():
            error = "exact" if found.side == "exact" else f"+- {found.stderr:.4f}, {found.side} in expectation"
            notes += f"; log Z of {site!r} {found.value:.4f} ({error})"
        text = f"log p(x) = {self.mean:.3f} +- {self.mean_stderr:.3f} nats per datum ({notes})"
        return f"{text}\n{warning}" if (warning := self.warning) else text

    @property
    def _weights(self) -> str:
        """How many weights of what a datum got."""
        kind = "draws" if "num_draws" in self.options else "chains" if "num_chains" in self.options else "samples"
        least = int(self.num_weights.min())
        return f"{self.num_samples} {kind}" if least == self.num_samples else f"{least} to {self.num_samples} {kind}"

    @property
    def warning(self) -> str | None:
        """What is not to be trusted, and what to do about it; None where nothing is amiss."""
        importance, heavy = self.method == "importance", self.heavy
        alone = (self.ess < MIN_EFFECTIVE_WEIGHTS) & (self.num_weights >= 5) & ~(self.khat > KHAT_LIMIT)
        found = []
        if len(heavy):
            worst = f"worst {float(self.khat[heavy[0]]):.2f} at datum {int(heavy[0])}"
            found.append(f"k-hat > {KHAT_LIMIT} for {len(heavy)} of {len(self)} data ({worst}), where a few weights decide")
        if bool(alone.any()):
            found.append(f"ESS < {MIN_EFFECTIVE_WEIGHTS} for {int(alone.sum())} of {len(self)} data, where one weight decides")
        kin = self.stderr.isnan() & (self.num_weights > 1)
        if bool(kin.any()):
            found.append(f"all chains of {int(kin.sum())} of {len(self)} data come from one first draw, so no error is known")
        remedy = "samples, defensive=0.1, or method='ais'" if importance else "distributions, start='guide', or more chains"
        if found:
            return f"{'; '.join(found)}: value and error are likely too low there; give more {remedy}."
        apart = self.rhat.nan_to_num(0.0)
        if bool((apart > RHAT_LIMIT).any()):
            return (
                f"split R-hat > {RHAT_LIMIT} for {int((apart > RHAT_LIMIT).sum())} of {len(self)} data (worst "
                f"{float(apart.max()):.2f} at datum {int(apart.argmax())}): chains from the guide and chains from the prior "
                "have not met, so the value may miss a mode and the error is too low there; use method='smc' with "
                "start='prior', or give more num_warmup and num_draws."
            )
        return None

    def to_json(self) -> dict[str, Any]:
        """The summary, without the per-datum values; None for what is not defined."""
        khat = self.khat[self.khat.isfinite()]
        figures = {
            "method": self.method,
            "bound": self.bound,
            "num_data": len(self),
            "num_samples": self.num_samples,
            "mean": self.mean,
            "mean_stderr": self.mean_stderr,
            "mean_mc_stderr": self.mean_mc_stderr,
            "median_ess": float(self.ess.median()),
            "max_khat": float(khat.max()) if len(khat) else math.nan,
            "heavy_tails": len(self.heavy),
            "mean_acceptance": float(self.acceptance.mean()),
            "max_rhat": float(self.rhat.nan_to_num(0.0).max()) or math.nan,
            "passes_per_datum": float(self.passes.double().mean()),
            "options": dict(self.options),
            **({"normalizers": {s: f._asdict() for s, f in self.normalizers.items()}} if self.normalizers else {}),
        }
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}

    def to_arviz(self) -> InferenceData:
        """An InferenceData with one group ``evidence``, each column a variable over ``data``, the summary its attributes."""
        import xarray

        columns = {name: ("data", getattr(self, name).cpu().numpy()) for name in COLUMNS}
        attrs = {k: v for k, v in self.to_json().items() if isinstance(v, (str, int, float))}
        group = xarray.Dataset(columns, coords={"data": range(len(self))}, attrs={**attrs, **_flat(self.options)})
        made: InferenceData = import_arviz().InferenceData(evidence=group)
        return made

    def plot(self) -> Figure:
        """The estimates with two standard errors, data in order of value, and k-hat (or the acceptance) of each."""
        if not len(self):
            raise OptionError("no datum to plot.")
        below = ("acceptance of HMC", self.acceptance, None) if self.khat.isnan().all() else ("k-hat", self.khat, KHAT_LIMIT)
        return estimates(self.value, self.stderr, *below)


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as netCDF attributes, which know no None and no booleans."""
    return {f"option_{k}": v if type(v) in (str, int, float) else str(v) for k, v in options.items()}


COLUMNS = ("value", "stderr", "ess", "khat", "elbo", "elbo_stderr", "acceptance", "rhat", "num_weights", "passes")
