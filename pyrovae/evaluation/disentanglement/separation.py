"""SAP: how much better one code predicts a factor than the next."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrovae.calls import public
from pyrovae.errors import OptionError, nearest
from pyrovae.evaluation.disentanglement.arrays import RESAMPLES, Known, Score, defined, halves, known, standardize

__all__ = ["sap"]


@public()
def sap(codes: Any, factors: Any, nominal: Any = (), *, definition: str = "mixed", seed: int = 0) -> Score:
    """Separated attribute predictability: how much better the best code predicts a factor than the second best.

        SAP = (1/F) sum_k [S_(1)k - S_(2)k],   S (d, F) of each code alone

    ``mixed``: S is R^2 for factors with an order; for ``nominal`` ones the balanced accuracy of the classes as Gaussians,
    on held-out rows, with chance at 0. ``kumar2018``: R^2 for all. ``locatello2019``: held-out accuracy of a linear
    classifier, which cannot name the middle of many values in order, so that its ceiling is low (0.25 on dSprites): never
    compare the two.

    Args:
        codes: (N, d).
        factors: whole numbers, (N, F) or {name: (N,)}.
        nominal: names, or numbers, of factors whose values have no order; of ``mixed`` alone.
        definition: mixed, kumar2018 or locatello2019.
        seed: of the cut into rows to fit to (two thirds) and held out, and of the bootstrap of rows.

    Raises:
        DataError: arrays that do not fit, or hold NaN.
        OptionError: nominal factors that there are not, or for a definition that has none.

    References: Kumar et al., Variational Inference of Disentangled Latent Concepts, 2018, Section 3; Locatello et al., 2019,
        Section B.6.

    >>> factors = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
    >>> round(sap(factors, factors).value, 6)
    1.0
    """
    chosen, data = defined(definition, ("mixed", "kumar2018", "locatello2019")), known(codes, factors)
    places = [_place(each, data) for each in nominal]
    if places and chosen != "mixed":
        raise OptionError(f"nominal came with definition {definition!r}, which treats all factors alike; leave it out.")
    scores, error = _sap(data, places, chosen, seed, errors=True)
    perfect, _ = _sap(data.perfect(), places, chosen, seed, errors=False)
    return Score("SAP", float(scores.mean()), error, float(perfect.mean()), definition, data.parts(scores))


def _place(name: Any, data: Known) -> int:
    if name in data.names:
        return data.names.index(name)
    if isinstance(name, (int, np.integer)) and not isinstance(name, bool) and 0 <= name < len(data.names):
        return int(name)
    raise nearest("factor", name, data.names)


def _sap(data: Known, nominal: list[int], chosen: str, seed: int, errors: bool) -> tuple[np.ndarray, float]:
    """The gap of each factor, (F,), and the bootstrap error of their mean."""
    train, test = halves(data, seed)
    by_class = range(len(data.names)) if chosen == "locatello2019" else nominal
    right = {k: np.stack([_right(z, train, test, k, i, chosen) for i, z in enumerate(train.codes.T)]) for k in by_class}

    def gaps(rows: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        table = _r_squared(data.rows(rows))
        for k, correct in right.items():
            table[:, k] = _accuracy(correct[:, held_out], test.labels[held_out, k], balanced=chosen == "mixed")
        ordered = np.sort(np.vstack([np.zeros(len(data.names)), table]), 0)
        return ordered[-1] - ordered[-2]

    found = gaps(np.arange(len(data.codes)), np.arange(len(test.codes)))
    if not errors:
        return found, 0.0
    rng = np.random.default_rng([seed, 1])
    draws = [[rng.integers(0, n, n) for n in (len(data.codes), len(test.codes))] for _ in range(RESAMPLES)]
    return found, float(np.std([gaps(*each).mean() for each in draws], ddof=1))


def _r_squared(data: Known) -> np.ndarray:
    """Squared correlations of codes and values, (d, F); 0 of what is constant."""
    z, v = standardize(data.codes), standardize(data.values.astype(float))
    return (z.T @ v / len(z)) ** 2


def _right(z: np.ndarray, train: Known, test: Known, factor: int, code: int, chosen: str) -> np.ndarray:
    """Whether the classifier from one code is right, for each held-out row."""
    labels, held_out = train.labels[:, factor], test.codes[:, code]
    if chosen == "mixed":
        return _gaussian_classes(z, labels, held_out) == test.labels[:, factor]
    from sklearn.svm import LinearSVC

    if labels.min() == labels.max():
        return test.labels[:, factor] == labels[0]
    fitted = LinearSVC(C=0.01, class_weight="balanced", dual=False).fit(z[:, None], labels)
    return fitted.predict(held_out[:, None]) == test.labels[:, factor]


def _gaussian_classes(z: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """The most probable class of each held-out value, classes being Gaussians of equal weight."""
    classes, number = np.unique(labels, return_inverse=True)
    counts = np.bincount(number)
    mean = np.bincount(number, z) / counts
    floor = 1e-9 * z.var() + 1e-300
    variance = np.bincount(number, (z - mean[number]) ** 2) / counts + floor
    score = -((held_out[:, None] - mean) ** 2) / variance - np.log(variance)
    return classes[score.argmax(1)]


def _accuracy(correct: np.ndarray, labels: np.ndarray, balanced: bool) -> np.ndarray:
    """Accuracy of each code, (d,); balanced, the mean over classes with chance at 0, at least 0."""
    if not balanced:
        return correct.mean(1)
    classes = np.unique(labels)
    if len(classes) < 2:
        return np.zeros(len(correct))
    mean = np.mean([correct[:, labels == each].mean(1) for each in classes], 0)
    return np.clip((mean - 1 / len(classes)) / (1 - 1 / len(classes)), 0, None)
