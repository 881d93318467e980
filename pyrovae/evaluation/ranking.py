"""Answers by relevance: what a model says of each without its label, and how well that ranks them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import run_program
from pyrovae.errors import ContractError, DataError

__all__ = ["mean_average_precision", "relevance"]

ROWS = 500


@public()
def relevance(pair: PairLike, data: Any, num_samples: int = 100) -> Tensor:
    """p(x = 1 | question, answer) of each row, (N,): the mean over K draws of the latent from the model, not from the guide.

    The guide sees the label x, so that whatever it is asked knows the answer.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), whose x is one bit given other keys, as of ``nasm``.
        data: N rows, in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_samples: K.

    Raises:
        ContractError: x is no single bit.

    >>> from pyrovae import pairs
    >>> from pyrovae.data import load
    >>> data = load("grammar-answers")
    >>> relevance(pairs.nasm(data.spec), data.test[:3], num_samples=2).shape
    torch.Size([3])
    """
    pair = as_pair(pair)
    batch, found = as_batch(pair, data), []
    with inference(pair):
        for first in range(0, len(batch["x"]), ROWS):
            rows = {key: value[first : first + ROWS] for key, value in batch.items()}
            site = sample_sites(run_program(pair.model, rows, num_samples)).get("x")
            if site is None or site["fn"].event_shape or site["value"].dim() > 2:
                raise ContractError(f"relevance is of a site x that is one bit a row; {type(pair.model).__name__} has none.")
            found.append(site["fn"].mean.expand(num_samples, -1).mean(0))
    return torch.cat(found)


@public()
def mean_average_precision(scores: Tensor, relevant: Tensor, group: Tensor) -> float:
    """The mean over questions of the mean precision at the ranks of their relevant answers.

        MAP = mean_q (1 / R_q) sum_{r relevant} #{relevant at or above r} / rank(r)

    Of tied scores the order is the least favourable one: a constant score has no merit. Questions without a relevant answer
    are left out.

    Args:
        scores: of each answer, (N,), the larger the more relevant.
        relevant: 1 or 0 of each, (N,).
        group: the question of each, (N,).

    Raises:
        DataError: other shapes, scores that are not finite, or no relevant answer at all.

    >>> group = torch.tensor([0, 0, 0, 1, 1])
    >>> round(mean_average_precision(torch.tensor([3.0, 2.0, 1.0, 5.0, 6.0]), torch.tensor([1, 0, 1, 1, 0]), group), 4)
    0.6667
    """
    if not scores.shape == relevant.shape == group.shape or scores.dim() != 1:
        shapes = [tuple(each.shape) for each in (scores, relevant, group)]
        raise DataError(f"scores, relevant and group came with shapes {shapes}; expected (N,) each.")
    if not bool(torch.isfinite(scores).all()):
        raise DataError(f"score {int((~torch.isfinite(scores)).nonzero()[0])} is not finite, and ranks nothing.")
    found = []
    for question in group.unique():
        own = group == question
        hit = relevant[own].double()
        if not hit.any():
            continue
        order = sorted(
            zip((-scores[own]).tolist(), hit.tolist(), strict=True)
        )  # of tied ones those that are not relevant first
        hits = torch.tensor([each for _, each in order])
        precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
        found.append(float((precision * hits).sum() / hits.sum()))
    if not found:
        raise DataError("no answer is relevant, so that there is nothing to rank.")
    return sum(found) / len(found)
