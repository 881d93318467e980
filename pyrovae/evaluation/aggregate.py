"""What the aggregate posterior of a whole data set is made of: mutual information, total correlation, dimension-wise KL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.aggregate import aggregate_scores, cross_scores, decompose, refuse_dependent
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.program import batch_size
from pyrovae.core.trace import PairTrace, trace_pair
from pyrovae.errors import ContractError, OptionError

__all__ = ["AggregatePosterior", "Figure", "aggregate_posterior"]


class Figure(NamedTuple):
    """A mean over data, in nats, and its standard error, of the draws and of the data as a sample."""

    mean: float
    standard_error: float


@dataclass(frozen=True)
class AggregatePosterior:
    """The three parts of the mean KL(q(z | x) || p(z)) over a data set, in nats per datum; they add up to it.

    Attributes:
        mutual_information: I(x; z) under q, of the data as a uniform variable: at most log N.
        total_correlation: KL(q(z) || prod_j q(z_j)).
        dimension_kl: sum_j KL(q(z_j) || p(z_j)), where the prior has independent dimensions.
        kl: their sum.
        num_data: N.
    """

    mutual_information: Figure
    total_correlation: Figure
    dimension_kl: Figure
    kl: Figure
    num_data: int

    def __repr__(self) -> str:
        parts = ("mutual information", "total correlation", "dimension-wise KL", "KL")
        figures = (self.mutual_information, self.total_correlation, self.dimension_kl, self.kl)
        shown = ", ".join(f"{part} {f.mean:.3f} +- {f.standard_error:.3f}" for part, f in zip(parts, figures, strict=True))
        return f"{shown} nats per datum, of {self.num_data} data (log N = {math.log(self.num_data):.2f})"


@public()
def aggregate_posterior(
    pair: PairLike, data: Any, num_samples: int = 1, num_rows: int | None = None, seed: int = 0
) -> AggregatePosterior:
    """Split the KL of a data set into mutual information, total correlation and dimension-wise KL, in nats per datum.

        KL = I(x; z) + TC(z) + sum_j KL(q(z_j) || p(z_j)),   q(z) = (1/N) sum_n q(z | x_n)

    The mixture is over all N data, so that nothing is biased by a batch; only the draws of z are random. The cost is N^2 d
    scores for each draw, or M N d with the draws of M data alone.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide); its latents continuous, each independent of the others given x.
        data: in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_samples: draws of z a datum.
        num_rows: M, how many data are drawn for, at random, under the mixture over all N; all by default.
        seed: of the draws.

    Raises:
        ContractError: a guide whose sites depend on each other's draws, or whose dimensions are not independent.

    References: Chen et al., Isolating Sources of Disentanglement, 2018, Eq. (2); Hoffman and Johnson, ELBO Surgery, 2016.

    >>> import math, torch
    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> found = aggregate_posterior(vae(DataSpec("toy", (4,), "real"), latent_dim=2), torch.randn(50, 4))
    >>> 0 < found.mutual_information.mean < math.log(50)
    True
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise OptionError(f"num_samples is {num_samples!r}; expected a whole number of at least 1.")
    pair = as_pair(pair)
    with inference(pair, seed=seed):
        batch = as_batch(pair, data)
        num_data, sums = batch_size(batch), dict[str, Tensor]()
        rows = None if num_rows is None or num_rows >= num_data else torch.randperm(num_data)[:num_rows]
        for _ in range(num_samples):
            traced = trace_pair(pair.model, pair.guide, batch, enumerate_sites=False)
            for name, value in parts_of(traced, rows).items():
                sums[name] = sums.get(name, 0) + value.double() / num_samples
    figures = {name: Figure(float(v.mean()), _standard_error(v)) for name, v in sums.items()}
    return AggregatePosterior(**figures, num_data=num_data)


def parts_of(traced: PairTrace, rows: Tensor | None = None) -> dict[str, Tensor]:
    """The three terms and their sum, (N,) or those of some rows, of one draw a datum, under the mixture over all of them."""
    if not traced.latents:
        raise ContractError("the guide has no latent site, so there is no aggregate posterior.")
    for name in traced.guide_sites:
        cross_scores(traced, name, slice(0, 1))
    refuse_dependent(traced)
    log_q = traced.total(traced.log_q)
    log_p = traced.total({name: traced.log_p[name] for name in traced.guide_sites})
    num_data = traced.shape[1]
    weights = log_q.new_full((1, 1), -math.log(num_data)).expand(num_data, num_data)
    split = aggregate_scores(traced, weights, rows=rows)
    if rows is not None:
        log_q, log_p = log_q[:, rows], log_p[:, rows]
    terms = decompose(split, log_q, log_p)
    return {name: value.mean(0) for name, value in {**terms, "kl": log_q - log_p}.items()}


def _standard_error(values: Tensor) -> float:
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else math.nan
