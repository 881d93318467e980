"""Explicitness: how well values of factors are told apart linearly."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrovae.calls import public
from pyrovae.evaluation.disentanglement.arrays import Known, Score, bootstrap, defined, halves, known, standardize

__all__ = ["explicitness"]


@public()
def explicitness(codes: Any, factors: Any, *, definition: str = "locatello2019", seed: int = 0) -> Score:
    """The mean area under the ROC curve of each value of each factor, against the rest, by logistic regression on all codes.

        E = (1/F) sum_k (1/|V_k|) sum_v AUC(log-odds of v_k = v)

    of standardized codes, on held-out rows; 1/2 is chance. A perfect code has less than 1 where values have an order, and a
    rotated one has as much as that: it is blind to rotation.

    Args:
        codes: (N, d).
        factors: whole numbers, (N, F) or {name: (N,)}.
        definition: locatello2019.
        seed: of the cut into rows to fit to (two thirds) and held out, and of the bootstrap of held-out rows.

    Raises:
        DataError: arrays that do not fit, or hold NaN.

    References: Ridgeway and Mozer, Learning Deep Disentangled Embeddings, 2018, Section 2; Locatello et al., 2019, B.4.

    >>> factors = np.repeat(np.stack(np.meshgrid(np.arange(2), np.arange(2)), -1).reshape(-1, 2), 9, 0)
    >>> explicitness(factors, factors).value
    1.0
    """
    defined(definition, ("locatello2019",))
    data = known(codes, factors)
    scores, truths = _class_scores(data, seed)

    def value(rows: np.ndarray) -> np.ndarray:
        return np.array([_mean_auc(s[rows], t[rows]) for s, t in zip(scores, truths, strict=True)])

    found = value(np.arange(len(truths[0])))
    error = bootstrap(lambda rows: float(value(rows).mean()), len(truths[0]), seed)
    perfect = np.mean([_mean_auc(s, t) for s, t in zip(*_class_scores(data.perfect(), seed), strict=True)])
    return Score("explicitness", float(found.mean()), error, float(perfect), definition, data.parts(found))


def _class_scores(data: Known, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of each factor, the log-odds of its values on held-out rows, (M, |V|), and the values, (M,)."""
    from sklearn.linear_model import LogisticRegression

    train, test = halves(data.of(standardize(data.codes)), seed)
    scores, truths = [], []
    for factor, size in enumerate(data.sizes):
        labels, made = train.labels[:, factor], np.zeros((len(test.codes), size))
        if labels.min() < labels.max():
            fitted = LogisticRegression(max_iter=2000).fit(train.codes, labels)
            made[:, fitted.classes_] = fitted.predict_proba(test.codes)
        scores.append(made)
        truths.append(test.labels[:, factor])
    return scores, truths


def _mean_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the values that occur, and do not always, of P(score of a row with it > of one without) + half of ties."""
    from scipy.stats import rankdata

    values = [v for v in np.unique(truth) if 0 < (truth == v).sum() < len(truth)]
    if not values:
        return 0.5
    ranks = rankdata(scores[:, values], axis=0)
    found = []
    for place, value in enumerate(values):
        own = truth == value
        num = own.sum()
        found.append((ranks[own, place].sum() - num * (num + 1) / 2) / (num * (len(truth) - num)))
    return float(np.mean(found))
