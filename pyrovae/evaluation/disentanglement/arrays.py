"""What the metrics share: codes and factors as checked arrays, a score with its error and ceiling, counts and entropies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["Known", "Score", "bins", "bootstrap", "count", "entropy", "information", "known", "standardize"]

RESAMPLES = 20
ROUNDING = 1e-12  # of an information in nats, below which it is 0


@dataclass(frozen=True)
class Score:
    """A metric of codes that are held against known factors.

    Attributes:
        name: of the metric.
        value: its figure.
        standard_error: by a bootstrap of what the metric is a statistic of (rows, votes or held-out rows).
        ceiling: the metric of a perfect code of the same factors, whose dimension k is factor k.
        definition: by whose rule.
        parts: figures by factor, code or model.
    """

    name: str
    value: float
    standard_error: float
    ceiling: float
    definition: str
    parts: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        figures = f"{self.value:.4f} +- {self.standard_error:.4f} (ceiling {self.ceiling:.4f}"
        return f"{self.name} {figures}, definition {self.definition})"


@dataclass(frozen=True)
class Known:
    """Codes and factors of N rows.

    Attributes:
        codes: (N, d).
        values: of the factors, as they came, (N, F).
        labels: the same numbered 0..sizes[k] - 1 without gaps.
        names: of the factors.
    """

    codes: np.ndarray
    values: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]

    @property
    def sizes(self) -> list[int]:
        """How many values each factor has."""
        return [int(each.max()) + 1 for each in self.labels.T]

    def of(self, codes: np.ndarray) -> Known:
        """Other codes of the same rows."""
        return Known(codes, self.values, self.labels, self.names)

    def perfect(self) -> Known:
        """The perfect code of the same rows: each factor, standardized."""
        return self.of(standardize(self.values))

    def rows(self, rows: np.ndarray) -> Known:
        """Some rows, labels numbered as before."""
        return Known(self.codes[rows], self.values[rows], self.labels[rows], self.names)

    def parts(self, values: Sequence[float] | np.ndarray) -> dict[str, float]:
        """Figures by factor."""
        return dict(zip(self.names, map(float, values), strict=True))


def known(codes: Any, factors: Any, least: int = 1) -> Known:
    """Codes (N, d), and factors (N, F) or {name: (N,)}, as arrays of float64 and whole numbers.

    Args:
        codes: numbers.
        factors: whole numbers.
        least: how many factors the metric needs.

    Raises:
        DataError: other shapes, numbers that are not finite or not whole, a factor of one value.
    """
    codes = as_codes(codes)
    if isinstance(factors, Mapping):
        names = tuple(map(str, factors))
        columns = [np.asarray(each) for each in factors.values()]
        if not columns or any(each.shape != (len(codes),) for each in columns):
            came = ", ".join(f"{name} {each.shape}" for name, each in zip(names, columns, strict=True)) or "none"
            raise DataError(f"factors came as {came}; expected ({len(codes)},) of each, a number for each row of codes.")
        values = np.stack(columns, 1)
    else:
        values = np.asarray(factors)
        names = tuple(f"factor {k}" for k in range(values.shape[1] if values.ndim == 2 else 0))
    if values.ndim != 2 or len(values) != len(codes) or values.shape[1] < least:
        raise DataError(
            f"factors came with shape {values.shape}; expected ({len(codes)}, F), F at least {least}: a row for each of codes."
        )
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all() or (values != np.round(values)).any():
        raise DataError(f"factors hold {values.dtype} that are no whole numbers; expected the number of each value, 0, 1, ...")
    values = values.astype(np.int64)
    labels = np.stack([np.unique(each, return_inverse=True)[1].reshape(-1) for each in values.T], 1)
    for name, each in zip(names, labels.T, strict=True):
        if each.max() == 0:
            raise DataError(f"{name} has one value in all rows of factors; expected two at least: leave it out.")
    return Known(codes, values, labels, names)


def as_codes(codes: Any, what: str = "codes") -> np.ndarray:
    """Finite numbers (N, d), N at least 2."""
    if hasattr(codes, "detach"):
        codes = codes.detach().cpu()
    array = np.asarray(codes)
    if array.ndim != 2 or len(array) < 2 or not array.shape[1] or array.dtype.kind not in "biuf":
        raise DataError(f"{what} came as {array.dtype} of shape {array.shape}; expected numbers (N, d), N at least 2.")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise DataError(
            f"{what} hold NaN or infinity, first in row {int(np.argmin(np.isfinite(array).all(1)))}; expected numbers."
        )
    return array


def defined(definition: str, known_names: Sequence[str]) -> str:
    """The definition, if the metric has it."""
    if definition not in known_names:
        raise nearest("definition", definition, known_names)
    return definition


def generator(seed: int) -> np.random.Generator:
    """A stream of its own."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise OptionError(f"seed is {seed!r}; expected a whole number from 0 up.")
    return np.random.default_rng(int(seed))


def halves(data: Known, seed: int) -> tuple[Known, Known]:
    """Two thirds of the rows to fit to and one third held out, as 10,000 and 5,000 in Locatello et al. (2019)."""
    if len(data.codes) < 6:
        raise DataError(f"codes have {len(data.codes)} rows; expected 6 at least, two thirds to fit to and one held out.")
    order = generator(seed).permutation(len(data.codes))
    cut = 2 * len(order) // 3
    return data.rows(order[:cut]), data.rows(order[cut:])


def bootstrap(statistic: Callable[[np.ndarray], float], num_rows: int, seed: int, resamples: int = RESAMPLES) -> float:
    """The standard deviation of a statistic of row numbers, (N,), over draws of N rows with replacement;
    infinite where one of them is."""
    rng = np.random.default_rng([seed, 1])
    found = [statistic(rng.integers(0, num_rows, num_rows)) for _ in range(resamples)]
    return float(np.std(found, ddof=1)) if np.isfinite(found).all() else math.inf


def standardize(values: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1; 0 where a column is constant."""
    centred = values - values.mean(0)
    scale = centred.std(0)
    live = scale > ROUNDING * (1 + np.abs(values).max(0))
    return np.where(live, centred, 0.0) / np.where(live, scale, 1.0)


def bins(codes: np.ndarray, num_bins: int) -> np.ndarray:
    """Numbers of equal bins over the range of each code, (N, d) in 0..num_bins - 1."""
    if isinstance(num_bins, bool) or not isinstance(num_bins, (int, np.integer)) or num_bins < 2:
        raise OptionError(f"num_bins is {num_bins!r}; expected a whole number of at least 2.")
    edges = np.linspace(codes.min(0), codes.max(0), int(num_bins) + 1)
    return np.stack([np.clip(np.digitize(z, e[:-1]) - 1, 0, None) for z, e in zip(codes.T, edges.T, strict=True)], 1)


def count(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """How often each pair of two numberings of the rows occurs, as a table."""
    width = int(right.max()) + 1
    flat = np.bincount(left * width + right, minlength=(int(left.max()) + 1) * width)
    return flat.reshape(-1, width)


def entropy(counts: np.ndarray) -> float:
    """H = -sum p log p of a table of counts, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def information(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Plug-in I(left_i; right_k) = H(left_i) + H(right_k) - H(left_i, right_k) in nats, (d, F).

    Args:
        left: numberings of the rows, (N, d).
        right: others, (N, F).
    """
    found = np.empty((left.shape[1], right.shape[1]))
    for i, one in enumerate(left.T):
        for k, other in enumerate(right.T):
            table = count(one, other)
            found[i, k] = entropy(table.sum(1)) + entropy(table.sum(0)) - entropy(table)
    return np.where(found > ROUNDING, found, 0.0)
