"""The aggregate posterior q(z) = (1/N) sum_n q(z | x_n): scores of codes under the posteriors of other data.

    log q(z | x) - log p(z) = (log q(z | x) - log q(z))               mutual information I(x; z), in expectation
                            + (log q(z) - sum_j log q(z_j))           total correlation TC(z)
                            + (sum_j log q(z_j) - log p(z))           dimension-wise KL

Chen et al., Isolating Sources of Disentanglement, 2018, Eq. (2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pyrovae.core.sites import site_masks
from pyrovae.core.trace import PairTrace
from pyrovae.distributions.supports import is_discrete
from pyrovae.errors import ContractError, OptionError, nearest

__all__ = ["WEIGHTINGS", "Split", "aggregate_scores", "cross_scores", "decompose", "mixture_weights", "refuse_dependent"]

CHUNK = 2**24  # scores that are held at once
WEIGHTINGS = ("minibatch", "stratified")


class Split(NamedTuple):
    """log q(z_kb) under the aggregate posterior, (K, B), and that of each dimension, (K, B, d), of all latent sites."""

    joint: Tensor
    dimensions: Tensor


def base_of(fn: Any) -> Any:
    """A distribution without what makes events of its elements."""
    while hasattr(fn, "reinterpreted_batch_ndims"):
        fn = fn.base_dist
    return fn


def cross_scores(traced: PairTrace, name: str, rows: slice | Tensor = slice(None)) -> Tensor:
    """log q(z_kb | x_b') of a guide's site in each of its dimensions, (K, B, B', d), in nats.

    The diagonal b' = b is the site's own score. Its gradient reaches draws and parameters. A guide that conditions the site on
    other latents has no such scores; :func:`refuse_dependent` tells.

    Args:
        traced: of K particles.
        name: the site.
        rows: those data b whose draws are scored, all by default.

    Raises:
        ContractError: the site is enumerated, masked, discrete with a score function, or no product over its dimensions.
    """
    site = traced.guide_sites[name]
    if name in traced.enumerated:
        raise ContractError(f"site {name!r} is enumerated, so there is no draw to score under other data; draw it.")
    if site_masks(site):
        raise ContractError(f"site {name!r} is masked, and the posteriors of other data have no score where it is.")
    fn = base_of(site["fn"])
    if (len(fn.event_shape) and not is_discrete(fn)) or fn.batch_shape[:2] != traced.shape:
        raise ContractError(
            f"site {name!r} ({type(fn).__name__}) is no product over its dimensions, so q(z_j) has no closed form in the "
            "mixture over data; use a guide whose dimensions are independent (.to_event), such as DiagonalGaussian."
        )
    z = site["value"][:, rows].transpose(0, 1).unsqueeze(2)  # (b, K, 1, *event), against distributions of (K, B', *event)
    scores: Tensor = fn.log_prob(z)
    scores = scores.transpose(0, 1)
    return scores.flatten(3) if scores.dim() > 3 else scores.unsqueeze(3)


def mixture_weights(batch_size: int, data_size: int, weighting: str, like: Tensor) -> Tensor:
    """log of the weight of datum b' in the estimate of q(z_b), (B, B').

        minibatch:   1/(N B) each                                        (Chen et al. 2018, Eq. 5: low by log N at B = N)
        stratified:  1/N for b' = b, (N - 1)/(N (B - 1)) for the others  (unbiased in q; exact at B = N)

    The stratified weights are those of Chen et al. (2018, Appendix C.1) made symmetric: theirs single one other datum out.

    Args:
        batch_size: B.
        data_size: N.
        weighting: one of the names above.
        like: a tensor of the wanted type and device.

    >>> mixture_weights(4, 4, "stratified", torch.zeros(())).exp().sum(1)
    tensor([1., 1., 1., 1.])
    """
    if weighting not in WEIGHTINGS:
        raise nearest("weighting", weighting, WEIGHTINGS)
    if not 1 <= batch_size <= data_size:
        raise OptionError(f"data_size is {data_size!r}; expected N, at least the {batch_size} rows of the batch.")
    shape = (batch_size, batch_size)
    if weighting == "minibatch" or batch_size == 1:
        return like.new_full(shape, -math.log(data_size * batch_size))
    others = math.log((data_size - 1) / (data_size * (batch_size - 1))) if data_size > 1 else -math.inf
    own = torch.eye(batch_size, dtype=torch.bool, device=like.device)
    return torch.where(own, like.new_full((), -math.log(data_size)), like.new_full((), others))


def aggregate_scores(
    traced: PairTrace, log_weights: Tensor, sites: Sequence[str] | None = None, rows: Tensor | None = None
) -> Split:
    """log sum_b' w[b, b'] q(z_kb | x_b'), (K, B), and the same of each dimension, (K, B, d), in nats.

    Computed a few rows at a time and again in the backward pass, so that the K B^2 d scores are never all held.

    Args:
        traced: of K particles.
        log_weights: of the mixture, (B, B').
        sites: latent sites, all by default.
        rows: numbers of those data b whose draws are scored, all by default.
    """
    names = list(traced.guide_sites if sites is None else sites)
    chunks = _row_slices(traced, names)
    if rows is not None:
        chunks = rows.split(max(1, chunks[0].stop - chunks[0].start))
    parts = [_chunk(traced, log_weights, names, some) for some in chunks]
    return Split(*(torch.cat(part, 1) for part in zip(*parts, strict=True)))


def _row_slices(traced: PairTrace, names: Sequence[str]) -> list[Any]:
    num_particles, batch_size = traced.shape
    width = sum(traced.latents[name][0, 0].numel() for name in names)
    size = max(1, CHUNK // max(1, num_particles * batch_size * width))
    return [slice(start, min(start + size, batch_size)) for start in range(0, batch_size, size)]


def _chunk(traced: PairTrace, log_weights: Tensor, names: Sequence[str], rows: slice | Tensor) -> tuple[Tensor, Tensor]:
    def scores() -> tuple[Tensor, Tensor]:
        every = torch.cat([cross_scores(traced, name, rows) for name in names], -1)
        weights = log_weights[rows]
        return (every.sum(-1) + weights).logsumexp(-1), (every + weights.unsqueeze(-1)).logsumexp(-2)

    if (isinstance(rows, slice) and rows == slice(0, traced.shape[1])) or not torch.is_grad_enabled():
        return scores()
    found: tuple[Tensor, Tensor] = checkpoint(scores, use_reentrant=False, preserve_rng_state=False)
    return found


def refuse_dependent(traced: PairTrace, sites: Sequence[str] | None = None) -> None:
    """ContractError where a site of the guide depends on the draw of another: q(z | x) is then no product over sites.

    Looks at values, so it is for checks before training: scores must not change when other sites are given other draws.
    """
    names = list(traced.guide_sites if sites is None else sites)
    if len(traced.guide_sites) == 1:
        return
    before = traced.guide_scores(traced.latents)
    for name in names:
        others = {n: z if n == name else _elsewhere(z) for n, z in traced.latents.items()}
        after = traced.guide_scores(others)[name]
        if not torch.allclose(before[name], after, rtol=1e-4, atol=1e-5):
            raise ContractError(
                f"site {name!r} of the guide depends on the draw of another latent site, so its scores under the posteriors "
                "of other data have no closed form; make it depend on the data alone."
            )


def _elsewhere(z: Tensor) -> Tensor:
    """Draws of the neighbour in the batch, far enough where there is but one."""
    return z.roll(1, 1) if z.shape[1] > 1 else z + 1 if z.is_floating_point() else z


def decompose(split: Split, log_q: Tensor, log_p: Tensor) -> Mapping[str, Tensor]:
    """The three terms at each draw, (K, B), in nats; their sum is log q(z | x) - log p(z) whatever the weights.

    Args:
        split: log q(z) and log q(z_j).
        log_q: log q(z | x), (K, B).
        log_p: log p(z), (K, B).
    """
    product = split.dimensions.sum(-1)
    return {
        "mutual_information": log_q - split.joint,
        "total_correlation": split.joint - product,
        "dimension_kl": product - log_p,
    }
