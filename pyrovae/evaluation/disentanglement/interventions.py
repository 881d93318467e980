"""The beta-VAE score, the FactorVAE score and IRS: metrics of rows in which one factor is held."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrovae.calls import public
from pyrovae.errors import DataError, OptionError
from pyrovae.evaluation.disentanglement.arrays import Known, Score, bootstrap, defined, generator, known

__all__ = ["beta_vae_score", "factor_vae_score", "irs"]

LEAST_SPREAD = 0.05  # of a code that may be voted for
CHUNK_ROWS = 500


class Groups:
    """Rows by the value of each factor, from which rows of the same value are drawn."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels
        self.order = np.argsort(labels, axis=0, kind="stable")
        self.counts = [np.bincount(each) for each in labels.T]
        self.starts = [np.cumsum(each) - each for each in self.counts]

    def draw(self, rng: np.random.Generator, factor: int, rows: np.ndarray) -> np.ndarray:
        """For each row one, drawn from those of its value of the factor."""
        value = self.labels[rows, factor]
        within = np.floor(rng.random(rows.shape) * self.counts[factor][value]).astype(np.int64)
        return self.order[self.starts[factor][value] + within, factor]


def _refuse_single(data: Known) -> None:
    """A value of one row has no other row to be held against."""
    for name, labels in zip(data.names, data.labels.T, strict=True):
        if (counts := np.bincount(labels)).min() < 2:
            raise DataError(
                f"{name} has a value in one row of factors alone (of {len(labels)} rows, {len(counts)} values); expected two "
                "rows of each value at least: give more rows."
            )


def beta_features(data: Known, num: int, num_pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """mean_l |z_l - z'_l| over pairs that share one factor, (num, d), and which, (num,)."""
    groups, num_factors = Groups(data.labels), len(data.names)
    held = rng.integers(0, num_factors, num)
    found = np.empty((num, data.codes.shape[1]))
    for factor in range(num_factors):
        (places,) = np.nonzero(held == factor)
        for start in range(0, len(places), CHUNK_ROWS):
            some = places[start : start + CHUNK_ROWS]
            one = rng.integers(0, len(data.codes), (len(some), num_pairs))
            other = groups.draw(rng, factor, one)
            found[some] = np.abs(data.codes[one] - data.codes[other]).mean(1)
    return found, held


@public()
def beta_vae_score(
    codes: Any,
    factors: Any,
    num_train: int = 10_000,
    num_test: int = 5_000,
    num_pairs: int = 64,
    *,
    definition: str = "locatello2019",
    seed: int = 0,
) -> Score:
    """How often a linear classifier says which factor was held from the mean distance of codes in each dimension.

        feature = (1/L) sum_l |z_l - z'_l| of L pairs that share factor k, drawn anew for each; accuracy on held-out features

    1 as soon as F - 1 factors have a code. Rows are drawn from those given, with replacement.

    Args:
        codes: (N, d).
        factors: whole numbers, (N, F) or {name: (N,)}, F at least 2.
        num_train: features that the classifier is fitted to.
        num_test: features that it is scored on.
        num_pairs: L.
        definition: locatello2019.
        seed: of the draws, and of the bootstrap of held-out features.

    Raises:
        DataError: arrays that do not fit, or hold NaN; a value of a factor that is in one row alone.

    References: Higgins et al., beta-VAE, 2017, Section 3; Locatello et al., 2019, Section B.1.

    >>> factors = np.repeat(np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2), 4, 0)
    >>> beta_vae_score(factors, factors, 300, 100).value
    1.0
    """
    defined(definition, ("locatello2019",))
    data = known(codes, factors, least=2)
    _refuse_single(data)
    correct, held = _beta_correct(data, num_train, num_test, num_pairs, seed)
    perfect, _ = _beta_correct(data.perfect(), max(1, num_train // 10), max(1, num_test // 10), num_pairs, seed)
    error = bootstrap(lambda rows: float(correct[rows].mean()), len(correct), seed)
    return Score(
        "beta-VAE score", float(correct.mean()), error, float(perfect.mean()), definition, _by_factor(data, correct, held)
    )


def _beta_correct(data: Known, num_train: int, num_test: int, num_pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.linear_model import LogisticRegression  # slow to import

    rng = generator(seed)
    train, held = beta_features(data, num_train, num_pairs, rng)
    test, truth = beta_features(data, num_test, num_pairs, rng)
    if len(set(held.tolist())) < 2:
        return truth == held[0], truth
    fitted = LogisticRegression(max_iter=2000).fit(train, held)
    return fitted.predict(test) == truth, truth


def _by_factor(data: Known, correct: np.ndarray, held: np.ndarray) -> dict[str, float]:
    drawn = [k for k in range(len(data.names)) if (held == k).any()]
    return {data.names[k]: float(correct[held == k].mean()) for k in drawn}


def factor_votes(data: Known, num: int, group_size: int, rng: np.random.Generator, live: np.ndarray) -> np.ndarray:
    """(code, factor) of each vote, (num, 2): the code whose variance shrinks most where the factor is held."""
    groups, num_factors = Groups(data.labels), len(data.names)
    total = data.codes[:, live].var(0, ddof=1)
    held = rng.integers(0, num_factors, num)
    votes = np.empty(num, np.int64)
    for factor in range(num_factors):
        (places,) = np.nonzero(held == factor)
        for start in range(0, len(places), CHUNK_ROWS):
            some = places[start : start + CHUNK_ROWS]
            one = np.repeat(rng.integers(0, len(data.codes), len(some))[:, None], group_size, 1)
            local = data.codes[:, live][groups.draw(rng, factor, one)].var(1, ddof=1)
            votes[some] = np.argmin(local / total, 1)
    return np.stack([np.nonzero(live)[0][votes], held], 1)


@public()
def factor_vae_score(
    codes: Any,
    factors: Any,
    num_train: int = 10_000,
    num_test: int = 5_000,
    group_size: int = 64,
    *,
    definition: str = "locatello2019",
    seed: int = 0,
) -> Score:
    """How often the code whose variance shrinks most where a factor is held says, by majority, which factor that is.

        vote = argmin_j Var_l[z_lj] / Var[z_j] over L rows of one value of factor k;   majorities name each code's factor

    Codes of a standard deviation below 0.05 are not voted for; where all are, the score is 0. ``parts`` has, for each factor,
    the share of its held-out votes that are right. Rows are drawn from those given, with replacement.

    Args:
        codes: (N, d).
        factors: whole numbers, (N, F) or {name: (N,)}, F at least 2.
        num_train: votes that make the table.
        num_test: votes that are scored.
        group_size: L.
        definition: locatello2019.
        seed: of the draws, and of the bootstrap of held-out votes.

    Raises:
        DataError: arrays that do not fit, or hold NaN; a value of a factor that is in one row alone.

    References: Kim and Mnih, Disentangling by Factorising, 2018, Section 4; Locatello et al., 2019, Section B.2.

    >>> factors = np.repeat(np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2), 4, 0)
    >>> factor_vae_score(factors, factors, 300, 100).value
    1.0
    """
    defined(definition, ("locatello2019",))
    data = known(codes, factors, least=2)
    _refuse_single(data)
    if group_size < 2:
        raise OptionError(f"group_size is {group_size}; expected rows of which there is a variance, 2 at least.")
    correct, held = _factor_correct(data, num_train, num_test, group_size, seed)
    perfect, _ = _factor_correct(data.perfect(), max(1, num_train // 10), max(1, num_test // 10), group_size, seed)
    error = bootstrap(lambda rows: float(correct[rows].mean()), len(correct), seed)
    return Score(
        "FactorVAE score", float(correct.mean()), error, float(perfect.mean()), definition, _by_factor(data, correct, held)
    )


def _factor_correct(data: Known, num_train: int, num_test: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng, live = generator(seed), data.codes.std(0) >= LEAST_SPREAD
    if not live.any():
        return np.zeros(num_test, bool), np.zeros(num_test, np.int64)
    table = np.zeros((len(live), len(data.names)), np.int64)
    np.add.at(table, tuple(factor_votes(data, num_train, size, rng, live).T), 1)
    code, held = factor_votes(data, num_test, size, rng, live).T
    return table.argmax(1)[code] == held, held


@public()
def irs(codes: Any, factors: Any, quantile: float | None = None, *, definition: str = "locatello2019", seed: int = 0) -> Score:
    """Interventional robustness: how little a code moves while its factor is held, at most.

        IRS_i = max_k [1 - mean over values g of v_k of Q_q(|z_i - E[z_i | v_k = g]|) / max |z_i - E z_i|]

    averaged over codes with weights max |z_i - E z_i|; a constant code has weight 0.

    Args:
        codes: (N, d).
        factors: whole numbers, (N, F) or {name: (N,)}.
        quantile: q; by default 0.99 in ``locatello2019``, and 1, the maximum, in ``suter2019``.
        definition: locatello2019 or suter2019.
        seed: of the bootstrap of rows.

    Raises:
        DataError: arrays that do not fit, or hold NaN.
        OptionError: a quantile outside 0..1.

    References: Suter et al., Robustly Disentangled Causal Mechanisms, 2019, Eq. (9) and (10).

    >>> factors = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
    >>> irs(factors, factors).value
    1.0
    """
    chosen = defined(definition, ("locatello2019", "suter2019"))
    quantile = quantile if quantile is not None else 0.99 if chosen == "locatello2019" else 1.0
    if not 0 <= quantile <= 1:
        raise OptionError(f"quantile is {quantile}; expected a share from 0 to 1.")
    data = known(codes, factors)

    def value(data: Known) -> float:
        scores, weights = irs_of(data, quantile)
        return float((scores * weights).sum() / weights.sum()) if weights.sum() > 0 else 0.0

    error = bootstrap(lambda rows: value(data.rows(rows)), len(data.codes), seed)
    parts = {f"code {i}": float(score) for i, score in enumerate(irs_of(data, quantile)[0])}
    return Score("IRS", value(data), error, value(data.perfect()), definition, parts)


def irs_of(data: Known, quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """IRS of each code and its largest deviation, (d,) each."""
    most = np.abs(data.codes - data.codes.mean(0)).max(0)
    live = data.codes.max(0) > data.codes.min(0)
    most = np.where(live, most, 0.0)
    best = np.zeros(len(most))
    for labels in data.labels.T:
        found = np.zeros(len(most))
        values = np.unique(labels)
        for value in values:
            some = data.codes[labels == value]
            found += np.quantile(np.abs(some - some.mean(0)), quantile, axis=0) / len(values)
        best = np.maximum(best, np.where(live, 1 - found / np.where(live, most, 1.0), 0.0))
    return best, most
