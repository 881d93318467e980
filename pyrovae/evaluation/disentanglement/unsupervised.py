"""Metrics that know no factor: dependence between codes, and UDR between models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyrovae.calls import public
from pyrovae.errors import DataError, OptionError
from pyrovae.evaluation.disentanglement.arrays import (
    Score,
    as_codes,
    bins,
    bootstrap,
    defined,
    information,
    standardize,
)

__all__ = ["gaussian_tc", "pairwise_information", "udr", "wasserstein_dependence"]

LASSO = 0.1  # penalty of Duan et al.
LEAST_KL = 0.01  # nats, of a code that counts


def _covariance(codes: np.ndarray) -> np.ndarray:
    """Of the codes that are not constant."""
    live = codes.max(0) > codes.min(0)
    return np.atleast_2d(np.cov(codes[:, live].T, ddof=0)) if live.any() else np.zeros((0, 0))


def _score(name: str, statistic: Callable[[np.ndarray], float], codes: np.ndarray, definition: str, seed: int) -> Score:
    value = statistic(codes)
    error = 0.0 if math.isinf(value) else bootstrap(lambda rows: statistic(codes[rows]), len(codes), seed)
    return Score(name, value, error, 0.0, definition)


def tc_of(codes: np.ndarray) -> float:
    """1/2 (sum_i log S_ii - log det S); infinity where a code is a linear function of others."""
    covariance = _covariance(codes)
    if len(covariance) < 2:
        return 0.0
    scale = np.sqrt(np.diag(covariance))
    values = np.linalg.eigvalsh(covariance / np.outer(scale, scale))
    if values[0] <= len(values) * np.finfo(float).eps * values[-1]:
        return math.inf
    return max(0.0, float(-0.5 * np.log(values).sum()))


@public()
def gaussian_tc(codes: Any, *, definition: str = "locatello2019", seed: int = 0) -> Score:
    """The total correlation, in nats, of a Gaussian with the covariance S of the codes; blind to rotation of equal variances.

        TC = 1/2 (sum_i log S_ii - log det S)

    Infinite where a code is a linear function of others; constant codes are left out. The ceiling is 0, of independent ones.

    Args:
        codes: (N, d); say whether they are means or draws, since their covariances differ.
        definition: locatello2019.
        seed: of the bootstrap of rows.

    Raises:
        DataError: arrays that do not fit, or hold NaN.

    References: Locatello et al., Challenging Common Assumptions, 2019, Section 5.2.

    >>> round(gaussian_tc(np.array([[2.0, 1.0], [1.0, 2.0], [-2.0, -1.0], [-1.0, -2.0]])).value, 4)
    0.5108
    """
    return _score("Gaussian TC", tc_of, as_codes(codes), defined(definition, ("locatello2019",)), seed)


@public()
def wasserstein_dependence(codes: Any, normalized: bool = True, *, definition: str = "locatello2019", seed: int = 0) -> Score:
    """The squared 2-Wasserstein distance of Gaussians with the covariance S of the codes and with its diagonal D.

        W = 2 tr S - 2 tr (D^{1/2} S D^{1/2})^{1/2},   normalized by tr S

    Args:
        codes: (N, d).
        normalized: divide by tr S.
        definition: locatello2019.
        seed: of the bootstrap of rows.

    Raises:
        DataError: arrays that do not fit, or hold NaN.

    References: Locatello et al., Challenging Common Assumptions, 2019, Section 5.2.

    >>> round(wasserstein_dependence(np.array([[1.0, 1.0], [-1.0, -1.0]])).value, 4)
    0.5858
    """

    def of(codes: np.ndarray) -> float:
        covariance = _covariance(codes)
        if len(covariance) < 2:
            return 0.0
        scale = np.sqrt(np.diag(covariance))
        values = np.linalg.eigvalsh(covariance * np.outer(scale, scale))
        trace = float(np.trace(covariance))
        found = max(0.0, 2 * trace - 2 * float(np.sqrt(np.clip(values, 0, None)).sum()))
        return found / trace if normalized else found

    return _score("Wasserstein dependence", of, as_codes(codes), defined(definition, ("locatello2019",)), seed)


@public()
def pairwise_information(codes: Any, num_bins: int = 20, *, definition: str = "locatello2019", seed: int = 0) -> Score:
    """The mean of I(bin(z_i); bin(z_j)) over pairs of different codes, in nats.

    Args:
        codes: (N, d).
        num_bins: of equal width over each code's range.
        definition: locatello2019.
        seed: of the bootstrap of rows.

    Raises:
        DataError: arrays that do not fit, or hold NaN.

    References: Locatello et al., Challenging Common Assumptions, 2019, Section 5.2.

    >>> round(pairwise_information(np.array([[0, 0], [0, 1], [1, 0], [1, 1]])).value, 6)
    0.0
    """

    def of(codes: np.ndarray) -> float:
        numbers = bins(codes, num_bins)
        table = information(numbers, numbers)
        return float(table[np.triu_indices(len(table), 1)].mean()) if len(table) > 1 else 0.0

    return _score("pairwise information", of, as_codes(codes), defined(definition, ("locatello2019",)), seed)


@public()
def udr(models: Sequence[Any], kl: Sequence[Any] | None = None, *, definition: str = "spearman", seed: int = 0) -> Score:
    """Unsupervised disentanglement ranking: how far models of several seeds have the same codes, up to order and sign.

        UDR_ab = 1/(d_a + d_b) [sum over rows and columns of R_ab of (largest entry)^2 / sum],   model a: median over b

    R_ab (d_a, d_b) of codes that count is |Spearman's correlation| in ``spearman``, and in ``duan2020`` the size of the
    coefficients of a lasso of penalty 0.1 that predicts the codes of b from those of a, whose ceiling is 0.9. ``parts`` has
    the figure of each model, ``value`` is their median.

    Args:
        models: the codes of each model on the same rows, (N, d) each; two at least, five to be of use.
        kl: of each model, the mean KL of each code, (d,) nats; codes above 0.01 count. By default those that are not constant.
        definition: spearman or duan2020.
        seed: of the bootstrap of rows.

    Raises:
        DataError: arrays that do not fit, or hold NaN.

    References: Duan et al., Unsupervised Model Selection for Variational Disentangled Representation Learning, 2020, Eq. (3).

    >>> codes = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
    >>> round(udr([codes, -codes[:, ::-1]]).value, 6)
    1.0
    """
    chosen = defined(definition, ("spearman", "duan2020"))
    codes = [as_codes(each, f"codes of model {number}") for number, each in enumerate(models)]
    if len(codes) < 2 or len({len(each) for each in codes}) > 1:
        raise DataError(f"models came with shapes {[each.shape for each in codes]}; expected two at least, of the same rows.")
    live = [each.max(0) > each.min(0) for each in codes]
    if kl is not None:
        informed = [np.asarray(each, dtype=float) for each in kl]
        if [each.shape for each in informed] != [each.shape for each in live]:
            raise OptionError(f"kl came with shapes {[e.shape for e in informed]}; expected {[e.shape for e in live]}.")
        live = [each & (info > LEAST_KL) for each, info in zip(live, informed, strict=True)]
    codes = [each[:, alive] for each, alive in zip(codes, live, strict=True)]

    def scores(rows: np.ndarray) -> np.ndarray:
        some = [_prepared(each[rows], chosen) for each in codes]
        table = [[_agreement(a, b, chosen) for b in some if b is not a] for a in some]
        return np.median(table, 1)

    found = scores(np.arange(len(codes[0])))
    error = bootstrap(lambda rows: float(np.median(scores(rows))), len(codes[0]), seed, resamples=10)
    parts = {f"model {number}": float(score) for number, score in enumerate(found)}
    return Score("UDR", float(np.median(found)), error, 1.0 if chosen == "spearman" else 1 - LASSO, definition, parts)


def _prepared(codes: np.ndarray, chosen: str) -> np.ndarray:
    from scipy.stats import rankdata  # half a second to import

    if not codes.shape[1]:
        return codes
    return standardize(rankdata(codes, axis=0)) if chosen == "spearman" else standardize(codes)


def _agreement(a: np.ndarray, b: np.ndarray, chosen: str) -> float:
    """UDR_ab of standardized codes (or ranks); 0 where one model has none that counts."""
    if not a.shape[1] or not b.shape[1]:
        return 0.0
    if chosen == "spearman":
        relation = np.abs(a.T @ b) / len(a)
    else:
        from sklearn.linear_model import Lasso  # slow to import

        relation = np.abs(np.stack([Lasso(LASSO).fit(a, column).coef_ for column in b.T], 1))
    total = 0.0
    for rows in (relation, relation.T):
        sums = rows.sum(1)
        total += float((rows.max(1) ** 2 / np.where(sums > 0, sums, 1)).sum())
    return total / sum(relation.shape)
