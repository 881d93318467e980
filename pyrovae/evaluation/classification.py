"""How well a guide classifies: accuracy with its interval, log loss, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas
import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.doors import batches
from pyrovae.core.inference import inference
from pyrovae.core.pair import PairLike, as_pair, known_spec
from pyrovae.core.program import describe
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import run_program
from pyrovae.data import as_split
from pyrovae.errors import ContractError, DataError, PyrovaeError

__all__ = ["Classification", "calibration_error", "class_probabilities", "classify", "classify_clusters"]

CALIBRATION_BINS = 15  # of the calibration error


@dataclass(frozen=True, repr=False)
class Classification:
    """Predicted classes of N labelled data against their labels.

    Attributes:
        probabilities: (N, C), of each class.
        labels: (N,), numbers of classes.
        names: what the user calls the classes 0..C-1, where not by these numbers.
    """

    probabilities: Tensor
    labels: Tensor
    names: tuple[Any, ...] | None = None

    @property
    def correct(self) -> Tensor:
        """Whether the most probable class is the label, (N,)."""
        return self.probabilities.argmax(-1) == self.labels

    @property
    def accuracy(self) -> float:
        """Share of the data whose most probable class is their label."""
        return float(self.correct.double().mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the accuracy on data like these (Wilson 1927): for this classifier, not over trainings."""
        from scipy.stats import binomtest  # half a second to import

        result = binomtest(int(self.correct.sum()), len(self.labels)).proportion_ci(0.95, method="wilson")
        return float(result.low), float(result.high)

    @property
    def certain(self) -> bool:
        """Whether the classifier gives classes without probabilities, so that it has no log loss and no calibration."""
        return bool((self.probabilities.amax(-1) == 1).all())

    @property
    def log_loss(self) -> float:
        """-(1/N) sum_n log q(y_n | x_n), in nats per datum; lower is better."""
        chosen = self.probabilities.gather(1, self.labels.unsqueeze(1)).double()
        return float(-chosen.clamp_min(1e-38).log().mean())

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: :func:`calibration_error`."""
        return calibration_error(self.probabilities.amax(-1), self.correct)

    def table(self) -> pandas.DataFrame:
        """One row a class that the data have, under the user's name: label, rows, accuracy, what it is most taken for."""
        predicted = self.probabilities.argmax(-1)
        names = self.names or tuple(range(self.probabilities.shape[-1]))
        lines = []
        for label in self.labels.unique().tolist():
            of = predicted[self.labels == label]
            usual = int(of.mode().values)
            lines.append((names[label], len(of), float((of == label).double().mean()), names[usual]))
        return pandas.DataFrame(lines, columns=["label", "rows", "accuracy", "most_taken_for"])

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON."""
        named = {} if self.names is None else {"classes": self.table().to_dict("records")}
        return {
            **named,
            "accuracy": self.accuracy,
            "accuracy_interval_95": list(self.interval),
            "error_percent": 100 * (1 - self.accuracy),
            **({} if self.certain else {"log_loss": self.log_loss, "calibration_error": self.calibration_error}),
            "num_labelled": len(self.labels),
        }

    def __repr__(self) -> str:
        low, high = (100 * end for end in self.interval)
        text = f"accuracy = {100 * self.accuracy:.2f}% (95% interval {low:.2f} to {high:.2f}; {len(self.labels)} data)"
        if self.names is not None:
            text += "; " + ", ".join(f"{row.label} {100 * row.accuracy:.0f}%" for row in self.table().itertuples())
        if self.certain:
            return text
        return f"{text}, log loss {self.log_loss:.4f} nats, calibration error {self.calibration_error:.4f}"


def calibration_error(confidence: Tensor, correct: Tensor, num_bins: int = CALIBRATION_BINS) -> float:
    """sum_b (n_b / N) |accuracy_b - confidence_b| over bins of equal width of the confidence: 0 is calibrated, 1 the worst.

    Args:
        confidence: (N,), probability of the predicted class.
        correct: (N,), whether it was right.
        num_bins: how many.

    References: Guo et al., On Calibration of Modern Neural Networks, 2017, Eq. (3).

    >>> round(calibration_error(torch.tensor([0.75, 0.75, 0.75, 0.75]), torch.tensor([True, True, True, False])), 6)
    0.0
    """
    bins = (confidence.double() * num_bins).ceil().long().clamp(1, num_bins) - 1
    gaps = torch.zeros(num_bins, dtype=torch.float64, device=confidence.device)
    gaps.index_add_(0, bins, correct.double() - confidence.double())
    return float(gaps.abs().sum() / len(confidence))


def class_probabilities(
    pair: PairLike, data: Any, num_samples: int = 20, *, batch_size: int = 500, seed: int = 0, site: str = "y"
) -> Tensor:
    """E[q(y | ., x)] over what the guide draws before y, (N, C): q(y | x) itself where y comes first.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), whose guide has a latent OneHotCategorical site y.
        data: in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_samples: K, over which the mean is taken.
        batch_size: B.
        seed: of the draws.
        site: the class.
    """
    pair, parts = as_pair(pair), []
    with inference(pair, seed=seed):
        for batch in batches(pair, data, batch_size):
            sites = sample_sites(run_program(pair.guide, batch, num_samples))
            if site not in sites:
                raise ContractError(f"{describe(pair.guide)} has no latent site {site!r}, so it has no classifier.")
            parts.append(sites[site]["fn"].probs.mean(0).cpu())
    return torch.cat(parts)


@public()
def classify(pair: PairLike, data: Any, num_samples: int = 20, *, batch_size: int = 500, seed: int = 0) -> Classification:
    """The guide's classes of the labelled rows of data, against their labels: probabilities are (N, C).

    Args: as for :func:`class_probabilities`; the data need y, -1 where there is no label.

    >>> from pyrovae import data, pairs
    >>> digits = data.load("digits")
    >>> classify(pairs.m2(digits.spec), digits.test).to_json()["num_labelled"]
    250
    """
    pair = as_pair(pair)
    split = as_split(data, known_spec(pair))
    labels = torch.cat([batch["y"].cpu() for batch in split.batches(batch_size) if "y" in batch] or [torch.zeros(0)])
    known = labels >= 0
    if not known.any():
        raise DataError("the data have no labels y to hold the classes against.")
    probabilities = class_probabilities(pair, split, num_samples, batch_size=batch_size, seed=seed)
    y = split.spec.keys.get("y")
    return Classification(probabilities[known], labels[known], None if y is None else y.labels)


@public()
def classify_clusters(
    pair: PairLike, data: Any, labelled: Any, num_samples: int = 20, *, batch_size: int = 500, seed: int = 0, site: str = "k"
) -> Classification:
    """The classes that a guide's clusters stand for, against the labels of data: probabilities are (N, C).

    A cluster takes the label of the one datum of ``labelled`` that is most probably in it, argmax_b q(k | x_b), and a class
    the probabilities of its clusters. Those data are no part of the figure: use validation data.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), whose guide has a one-hot site of clusters.
        data: in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part; with y, -1 where unknown.
        labelled: the data by whose y clusters are named; of a whole Data set the test part, so give ``data.valid``.
        num_samples: K, over which q(k | x) is taken where it depends on draws.
        batch_size: B.
        seed: of the draws.
        site: of the clusters.

    Raises:
        ContractError: the guide has no such site.
        DataError: either data have no labels.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Section 6.

    >>> from pyrovae import data, pairs
    >>> digits = data.load("digits")
    >>> pair = pairs.aae_cluster(digits.spec, num_clusters=4, hidden=[9])
    >>> classify_clusters(pair, digits.test, digits.valid).probabilities.shape
    torch.Size([250, 10])
    """
    pair, found = as_pair(pair), []
    for name, part in (("labelled", labelled), ("data", data)):
        try:
            split = as_split(part, known_spec(pair))
        except PyrovaeError as error:
            raise type(error)(f"{name}: {error}") from error
        y = torch.cat([batch["y"].cpu() for batch in split.batches(batch_size) if "y" in batch] or [torch.zeros(0)])
        if not (known := y >= 0).any():
            raise DataError(
                f"{name}: no labels y, by which clusters are named and counted; give data with y, -1 where unknown."
            )
        own = class_probabilities(pair, split, num_samples, batch_size=batch_size, seed=seed, site=site)
        found.append((own[known], y[known].long()))
    (by, names), (probabilities, labels) = found
    classes = max(int(y.max()) for y in (names, labels)) + 1
    of_cluster = names[by.argmax(0)]
    told = probabilities.new_zeros(len(labels), classes).index_add_(1, of_cluster, probabilities)
    described = split.spec.keys.get("y")
    return Classification(told, labels, None if described is None else described.labels)
