"""M1: scikit-learn's classifiers on the posterior means of a pair's latent site."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pyrovae.calls import public
from pyrovae.core.pair import Pair, PairLike, as_pair, known_spec
from pyrovae.data import Data, Split, Stream, as_split
from pyrovae.errors import DataError, OptionError, nearest
from pyrovae.evaluation.classification import Classification
from pyrovae.evaluation.latents import posterior_moments

__all__ = ["CLASSIFIERS", "classify_features"]


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=2000)


def _knn() -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(5, weights="distance")


def _svm() -> Any:
    from sklearn.svm import SVC

    return SVC(C=10.0)


def _self_training() -> Any:
    from sklearn.semi_supervised import SelfTrainingClassifier

    return SelfTrainingClassifier(_logistic(), threshold=0.95)


def _label_spreading() -> Any:
    from sklearn.semi_supervised import LabelSpreading

    return LabelSpreading(kernel="knn", n_neighbors=7, max_iter=100)


# makers, and whether they learn from unlabelled rows too
CLASSIFIERS: dict[str, tuple[Callable[[], Any], bool]] = {
    "logistic": (_logistic, False),
    "knn": (_knn, False),
    "svm": (_svm, False),
    "self-training": (_self_training, True),
    "label-spreading": (_label_spreading, True),
}


@public()
def classify_features(pair: PairLike, train: Any, test: Any, classifier: str = "logistic", site: str = "z") -> Classification:
    """A classifier of E[z | x], fitted to the labelled training rows, on the labelled test rows.

    "logistic", "knn" (5 neighbours, weighted by distance) and "svm" (radial basis functions) learn from the labelled rows
    only. "self-training" (logistic regression that takes up its own labels where it is sure to 95%) and "label-spreading"
    (over the graph of 7 nearest neighbours) learn from the unlabelled rows too: they stand where the paper has a transductive
    SVM, which scikit-learn does not. Features are centred and divided by one number, the largest standard deviation of a
    dimension: dimensions that the guide does not use stay small. "svm" gives no probabilities: its classes count as certain.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), whose guide gives the features.
        train: data with y, -1 where there is no label, in any form that :func:`pyrovae.data.load` takes; of a whole Data set
            the training part.
        test: data with y; of a whole Data set the test part.
        classifier: one of :data:`CLASSIFIERS`.
        site: the latent site.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Section 2 (M1); Zhou et al.,
    Learning with Local and Global Consistency, 2004 (label spreading).

    >>> from pyrovae import data, pairs
    >>> digits = data.load("digits", transforms=["few-labels:num_labels=100"])
    >>> len(classify_features(pairs.m1(digits.spec, hidden=[20]), digits.train, digits.test, "knn").labels)
    250
    """
    pair = as_pair(pair)
    if classifier not in CLASSIFIERS:
        raise nearest("classifier", classifier, CLASSIFIERS)
    make, uses_all = CLASSIFIERS[classifier]
    train = train.train if isinstance(train, Data) else train
    train, test = (as_split(data, known_spec(pair)) for data in (train, test))
    fitted_on = [_features(pair, data, site) for data in (train, test)]
    (x, y), (x_test, y_test) = fitted_on
    if (y < 0).all() or (y_test < 0).all():
        raise DataError("classify_features needs labels y, in the training and in the test data.")
    rows = np.ones(len(y), bool) if uses_all and (y < 0).any() else y >= 0
    x_test, y_test = x_test[y_test >= 0], y_test[y_test >= 0]
    center, spread = x.mean(0), x.std(0).max() + 1e-8
    model = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn's iterations
        model.fit((x[rows] - center) / spread, y[rows])
        scaled = (x_test - center) / spread
        scores = model.predict_proba(scaled) if hasattr(model, "predict_proba") else None
        classes = np.asarray(model.classes_)
        if scores is None:
            scores = (model.predict(scaled)[:, None] == classes).astype(float)
    scores = np.where(np.isfinite(scores), scores, 1 / len(classes))  # where no label reaches a datum over the graph
    probabilities = np.zeros((len(x_test), int(max(classes.max(), y_test.max())) + 1))
    probabilities[:, classes] = scores
    y = test.spec.keys.get("y")
    return Classification(torch.from_numpy(probabilities), torch.from_numpy(y_test), None if y is None else y.labels)


def _features(pair: Pair, split: Split | Stream, site: str) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means (N, d) and labels (N,)."""
    moments = posterior_moments(pair, split)
    if site not in moments or moments[site].mean.dim() != 2:
        raise OptionError(f"site {site!r} is no vector of this guide, which has {', '.join(moments)}; give site=.")
    if "y" not in (first := next(iter(split.batches(1)))):
        raise DataError(f"the data have {', '.join(first)} and no labels y.")
    labels = torch.cat([batch["y"].cpu() for batch in split.batches(1000)])
    return moments[site].mean.double().numpy(), labels.numpy()
