"""DCI: how far the importances of codes for predicting factors are one to one."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrovae.calls import public
from pyrovae.errors import DataError, OptionError, nearest
from pyrovae.evaluation.disentanglement.arrays import Known, Score, bootstrap, defined, generator, halves, known, standardize

__all__ = ["IMPORTANCES", "completeness", "dci", "disentanglement_of"]

PARTS, PART_ROWS = 5, 500  # parts of the training rows, and at most so many rows of each, that DCI is fitted to for its errors
CEILING_ROWS = 1_000  # at most, to which DCI of the perfect code is fitted
LASSO = 0.02  # penalty on standardized codes


def _boosting(train: Known, factor: int) -> tuple[np.ndarray, Any]:
    from sklearn.ensemble import GradientBoostingClassifier

    fitted = GradientBoostingClassifier(random_state=0).fit(train.codes, train.labels[:, factor])
    return np.abs(fitted.feature_importances_), fitted.predict


def _forest(train: Known, factor: int) -> tuple[np.ndarray, Any]:
    from sklearn.ensemble import RandomForestClassifier

    fitted = RandomForestClassifier(100, random_state=0).fit(train.codes, train.labels[:, factor])
    return np.abs(fitted.feature_importances_), fitted.predict


def _lasso(train: Known, factor: int) -> tuple[np.ndarray, Any]:
    from sklearn.linear_model import Lasso

    fitted = Lasso(LASSO).fit(standardize(train.codes), standardize(train.labels[:, factor].astype(float)))
    return np.abs(fitted.coef_), None


IMPORTANCES = {"boosting": _boosting, "forest": _forest, "lasso": _lasso}


def importances(train: Known, source: str) -> tuple[np.ndarray, list[Any]]:
    """How much each code serves to predict each factor, (d, F), and what predicts it."""
    found = np.zeros((train.codes.shape[1], len(train.names)))
    predictors: list[Any] = []
    for factor in range(len(train.names)):
        if train.labels[:, factor].min() == train.labels[:, factor].max():
            predictors.append(None)
            continue
        found[:, factor], predictor = IMPORTANCES[source](train, factor)
        predictors.append(predictor)
    return found, predictors


def disentanglement_of(importance: Any) -> float:
    """D = sum_i w_i (1 - H_F(P_i)), P_i the importances (F,) of code i by their sum, w_i its share of all importance.

    H_F has logarithms to the base F. 0 where nothing is important.

    Args:
        importance: (d, F), of numbers from 0 up.

    Raises:
        DataError: other numbers, or fewer than two factors.

    >>> round(disentanglement_of(np.eye(3)), 6), round(disentanglement_of(np.ones((2, 3))), 6)
    (1.0, 0.0)
    """
    return _concentration(importance, "two factors at least, columns")


def completeness(importance: Any) -> float:
    """C = sum_k w_k (1 - H_d(P_k)), P_k the importances (d,) for factor k by their sum, w_k its share of all importance.

    H_d has logarithms to the base d, so that C depends on how many codes there are, dead ones too.

    Args:
        importance: (d, F), of numbers from 0 up.

    Raises:
        DataError: other numbers, or fewer than two codes.

    >>> round(completeness(np.eye(3)), 6)
    1.0
    """
    return _concentration(np.asarray(importance).T, "two codes at least, rows")


def _concentration(importance: Any, expected: str) -> float:
    rows = np.asarray(importance, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2 or not np.isfinite(rows).all() or (rows < 0).any():
        raise DataError(f"importance came with shape {np.shape(importance)}; expected finite numbers from 0 up, {expected}.")
    total = rows.sum(1, keepdims=True)
    if not total.sum() > 0:
        return 0.0
    shares = rows / np.where(total > 0, total, 1)
    logs = np.log(np.where(shares > 0, shares, 1))
    scores = 1 + (shares * logs).sum(1) / np.log(rows.shape[1])
    return float((scores * total[:, 0]).sum() / total.sum())


@public()
def dci(
    codes: Any, factors: Any, importance: str = "boosting", *, definition: str = "locatello2019", seed: int = 0
) -> dict[str, Score]:
    """Disentanglement, completeness and informativeness of a predictor of each factor from all codes.

        D = sum_i w_i (1 - H_F(P_i)),   C = sum_k w_k (1 - H_d(P_k)),   I = mean accuracy on held-out rows

    P of ``boosting`` (gradient boosting with its defaults) and ``forest`` (100 trees, whose importances spread: a perfect
    code has D about 0.4) are importances of the codes, of ``lasso`` the sizes of coefficients, for factors with an order, with
    I the held-out R^2. The source decides the figure: compare none across sources. Two thirds of the rows are fitted to.
    Errors of D and C are those of fits to five parts, each of at most 500 rows, by the root of its share of the rows; the
    ceiling is that of a fit to at most 1,000 rows.

    Args:
        codes: (N, d), d at least 2.
        factors: whole numbers, (N, F) or {name: (N,)}, F at least 2.
        importance: boosting, forest or lasso.
        definition: locatello2019, which is by boosting, or eastwood2018, by the other two.
        seed: of the cut into rows to fit to and held out, and of the bootstrap.

    Raises:
        DataError: arrays that do not fit, or hold NaN.
        OptionError: a source of importance that is not of the definition.

    References: Eastwood and Williams, A Framework for the Quantitative Evaluation of Disentangled Representations, 2018,
        Section 2; Locatello et al., 2019, Section B.5.

    >>> factors = np.tile(np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2), (9, 1))
    >>> dci(factors, factors, "lasso", definition="eastwood2018")["disentanglement"].value > 0.99
    True
    """
    if importance not in IMPORTANCES:
        raise nearest("source of importance", importance, IMPORTANCES)
    if (defined(definition, ("locatello2019", "eastwood2018")) == "locatello2019") != (importance == "boosting"):
        raise OptionError(
            f"importance is {importance!r} with definition {definition!r}; expected boosting of locatello2019, forest or "
            "lasso of eastwood2018."
        )
    data = known(codes, factors, least=2)
    if data.codes.shape[1] < 2:
        raise DataError(f"codes came with shape {data.codes.shape}; expected two codes at least, (N, d).")
    train, test = halves(data, seed)
    matrix, right = _fit(train, test, importance)
    order = generator(seed).permutation(len(train.codes))
    parts = [train.rows(rows[:PART_ROWS]) for rows in np.array_split(order, min(PARTS, max(1, len(order) // 10)))]
    scale = np.sqrt(len(parts[0].codes) / len(order))
    again = [importances(part, importance)[0] for part in parts] if len(parts) > 1 else [matrix]
    some = generator(seed).permutation(len(data.codes))[:CEILING_ROWS]
    perfect_train, perfect_test = halves(data.rows(some).of(standardize(data.values)[some]), seed)
    ideal, ideal_right = _fit(perfect_train, perfect_test, importance)
    found = {}
    for name, of in (("disentanglement", disentanglement_of), ("completeness", completeness)):
        error = float(np.std([of(each) for each in again], ddof=min(1, len(again) - 1)) * scale)
        found[name] = Score(f"DCI {name}", of(matrix), error, of(ideal), definition)
    error = bootstrap(lambda rows: float(np.mean([each(rows) for each in right])), len(test.codes), seed)
    every, ideal_rows = np.arange(len(test.codes)), np.arange(len(perfect_test.codes))
    by_factor = [each(every) for each in right]
    ceiling = float(np.mean([each(ideal_rows) for each in ideal_right]))
    parts_of = data.parts(by_factor)
    found["informativeness"] = Score("DCI informativeness", float(np.mean(by_factor)), error, ceiling, definition, parts_of)
    return found


def _fit(train: Known, test: Known, source: str) -> tuple[np.ndarray, list[Any]]:
    """Importances (d, F), and for each factor the accuracy (or R^2) as a function of held-out rows."""
    matrix, predictors = importances(train, source)
    right = []
    for factor, predict in enumerate(predictors):
        if source == "lasso":
            right.append(_r_squared_of(train, test, factor))
            continue
        one = train.labels[0, factor]
        correct = (one if predict is None else predict(test.codes)) == test.labels[:, factor]
        right.append(lambda rows, correct=correct: float(correct[rows].mean()))
    return matrix, right


def _r_squared_of(train: Known, test: Known, factor: int) -> Any:
    """Held-out R^2 of the lasso, at least 0, as a function of rows."""
    from sklearn.linear_model import Lasso

    scale = train.codes.std(0)
    scale = np.where(scale > 0, scale, 1)
    values = train.labels[:, factor].astype(float)
    spread = values.std() or 1.0
    fitted = Lasso(LASSO).fit((train.codes - train.codes.mean(0)) / scale, (values - values.mean()) / spread)
    guess = fitted.predict((test.codes - train.codes.mean(0)) / scale)
    truth = (test.labels[:, factor] - values.mean()) / spread

    def of(rows: np.ndarray) -> float:
        total = ((truth[rows] - truth[rows].mean()) ** 2).sum()
        return float(np.clip(1 - ((truth[rows] - guess[rows]) ** 2).sum() / total, 0, 1)) if total > 0 else 0.0

    return of
