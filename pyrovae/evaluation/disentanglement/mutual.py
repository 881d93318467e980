"""MIG, by bins and by the mixture of all encoders, and modularity: metrics of I(code; factor)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.aggregate import cross_scores
from pyrovae.core.inference import private_draws
from pyrovae.core.trace import PairTrace, trace_pair
from pyrovae.errors import DataError
from pyrovae.evaluation.disentanglement.arrays import (
    Known,
    Score,
    as_codes,
    bins,
    bootstrap,
    defined,
    entropy,
    generator,
    information,
    known,
)

__all__ = ["mig", "mig_binned", "modularity"]

CHUNK = 2**19  # scores that are held at once, few enough for a cache
LEAST_SPREAD = 0.05  # of an active code
LEAST_LOG = -80.0  # of a mass beside the largest


def gaps(mutual: np.ndarray) -> np.ndarray:
    """The largest entry of each column less the second, (F,), of I (d, F)."""
    ordered = np.sort(np.vstack([np.zeros(mutual.shape[1]), mutual]), 0)
    return ordered[-1] - ordered[-2]


@public()
def mig_binned(codes: Any, factors: Any, num_bins: int = 20, *, definition: str = "locatello2019", seed: int = 0) -> Score:
    """The mutual information gap of binned codes, whose ceiling is below 1 where a factor has more values than there are bins.

        MIG = (1/F) sum_k [I(bin(z_(1)); v_k) - I(bin(z_(2)); v_k)] / H(v_k)

    Args:
        codes: (N, d), usually posterior means.
        factors: whole numbers, (N, F) or {name: (N,)}.
        num_bins: of equal width over each code's range.
        definition: locatello2019.
        seed: of the bootstrap of rows.

    Raises:
        DataError: arrays that do not fit, or hold NaN.

    References: Chen et al., Isolating Sources of Disentanglement, 2018, Eq. (6); Locatello et al., 2019, Section B.3.

    >>> factors = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
    >>> round(mig_binned(factors, factors).value, 6)
    1.0
    """
    defined(definition, ("locatello2019",))
    data = known(codes, factors)

    def value(data: Known) -> np.ndarray:
        entropies = [entropy(np.bincount(each)) for each in data.labels.T]
        return gaps(information(bins(data.codes, num_bins), data.labels)) / np.array(entropies)

    found, error = value(data), _resampled(lambda rows: float(value(rows).mean()), data, seed)
    return Score("MIG, binned", float(found.mean()), error, float(value(data.perfect()).mean()), definition, data.parts(found))


def _resampled(statistic: Any, data: Known, seed: int) -> float:
    """The bootstrap error; of resamples in which a factor takes one value the statistic is taken for what it is without."""

    def of(rows: np.ndarray) -> float:
        some = data.rows(rows)
        live = some.labels.min(0) < some.labels.max(0)
        if not live.any():
            return 0.0
        names = tuple(name for name, alive in zip(some.names, live, strict=True) if alive)
        return float(statistic(Known(some.codes, some.values[:, live], some.labels[:, live], names)))

    return bootstrap(of, len(data.codes), seed)


@public()
def modularity(
    codes: Any, factors: Any, active: Any = None, num_bins: int = 20, *, definition: str = "weighted", seed: int = 0
) -> Score:
    """How far each code is about one factor alone.

        m_i = 1 - sum_{k != k*} I_ik^2 / (I_ik*^2 (F - 1)),   k* = argmax_k I_ik,   I of binned codes

    and 0 where I is 0. ``weighted`` is sum_i I_ik* m_i / sum_i I_ik* over active codes, since a code of pure noise has
    plug-in informations that are small and alike; ``locatello2019`` is the mean over all codes.

    Args:
        codes: (N, d).
        factors: whole numbers, (N, F) or {name: (N,)}, F at least 2.
        active: (d,) of bool, the codes that count; by default those of a standard deviation above 0.05. Not of
            ``locatello2019``, which counts all.
        num_bins: as for :func:`mig_binned`.
        definition: weighted or locatello2019.
        seed: of the bootstrap of rows.

    Raises:
        DataError: arrays that do not fit, or hold NaN; a mask of active codes for a definition that has none.

    References: Ridgeway and Mozer, Learning Deep Disentangled Embeddings, 2018, Eq. (2).

    >>> factors = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
    >>> round(modularity(factors, factors).value, 6)
    1.0
    """
    weighted = defined(definition, ("weighted", "locatello2019")) == "weighted"
    data = known(codes, factors, least=2)
    chosen = np.asarray(data.codes.std(0) > LEAST_SPREAD if active is None else active)
    if active is not None and not weighted:
        raise DataError("active came with definition 'locatello2019', which counts all codes; leave it out.")
    if chosen.shape != data.codes.shape[1:] or chosen.dtype != bool:
        raise DataError(f"active came as {chosen.dtype} {chosen.shape}; expected bool {data.codes.shape[1:]}.")

    def each(data: Known) -> tuple[np.ndarray, np.ndarray]:
        mutual = information(bins(data.codes, num_bins), data.labels)
        top = mutual.max(1)
        others = (mutual**2).sum(1) - top**2
        num_factors = max(2, mutual.shape[1])
        return np.where(top > 0, 1 - others / (np.where(top > 0, top, 1) ** 2 * (num_factors - 1)), 0.0), top

    def value(data: Known, live: np.ndarray) -> float:
        scores, top = each(data)
        if not weighted:
            return float(scores.mean())
        return float((scores * top * live).sum() / total) if (total := (top * live).sum()) > 0 else 0.0

    perfect = value(data.perfect(), np.ones(len(data.names), bool))
    error = _resampled(lambda rows: value(rows, chosen), data, seed)
    parts = {f"code {i}": float(score) for i, score in enumerate(each(data)[0])}
    return Score("modularity", value(data, chosen), error, perfect, definition, parts)


# ------------------------------------------------------------------------------------------------ mixture
@public()
def mig(means: Any, scales: Any, factors: Any, num_draws: int = 2_000, *, definition: str = "mixture", seed: int = 0) -> Score:
    """The mutual information gap of drawn codes under the mixture of all encoders, N(mean_n, scale_n^2) of each row.

        MIG = (1/F) sum_k [I(z_(1); v_k) - I(z_(2); v_k)] / H(v_k)
        I(z_j; v_k) = E[log q(z_j | v_k) - log q(z_j)],   q(z_j | v_k) = mean of q(z_j | x_n) over rows n of that v_k

    with one draw of z for each of M rows, M N d scores in all, and H(v_k) of the same rows. ``chen2018`` divides by
    log |V_k| and takes negative gaps for 0; in the paper the shape of dSprites is left out.

    Args:
        means: of the posteriors, (N, d).
        scales: their standard deviations, (N, d), above 0.
        factors: whole numbers, (N, F) or {name: (N,)}.
        num_draws: M, rows that are drawn for, at random where there are more.
        definition: mixture or chen2018.
        seed: of the draws, and of the bootstrap of rows.

    Raises:
        DataError: arrays that do not fit, or hold NaN; scales of 0.

    References: Chen et al., Isolating Sources of Disentanglement, 2018, Eq. (6) and Appendix B.

    >>> factors = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
    >>> round(mig(factors, np.full((16, 2), 0.01), factors).value, 6)
    1.0
    """
    data, spread = known(means, factors), as_codes(scales, "scales")
    if spread.shape != data.codes.shape or not (spread > 0).all():
        raise DataError(f"scales came with shape {spread.shape}, from {spread.min():g}; expected {data.codes.shape} above 0.")
    loc, scale = torch.from_numpy(data.codes).float(), torch.from_numpy(spread).float()

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(torch.zeros_like(loc[0]), 1.0).to_event(1))

    with torch.no_grad(), private_draws(seed, loc.device):
        return mig_of(trace_pair(model, guide, {"x": loc}, 1), ["z"], data, num_draws, definition, seed)


def mig_of(traced: PairTrace, sites: list[str], data: Known, num_draws: int, definition: str, seed: int) -> Score:
    """MIG of the draws of a trace, whose rows the factors of ``data`` are of."""
    chen = defined(definition, ("mixture", "chen2018")) == "chen2018"
    rows = torch.from_numpy(np.sort(generator(seed).permutation(len(data.labels))[:num_draws]))
    ratios = factor_ratios(traced, sites, data.labels, rows)
    shares = np.stack([np.bincount(each)[each] / len(each) for each in data.labels.T], 1)[rows.numpy()]
    sizes = np.log(data.sizes)

    def value(some: np.ndarray, ratios: np.ndarray = ratios) -> np.ndarray:
        found = gaps_signed(ratios[some].mean(0)) / (sizes if chen else -np.log(shares[some]).mean(0))
        return np.clip(found, 0, None) if chen else found

    found = value(np.arange(len(rows)))
    error = bootstrap(lambda some: float(value(some).mean()), len(rows), seed)
    perfect = gaps(information(data.labels, data.labels)) / (
        sizes if chen else [entropy(np.bincount(e)) for e in data.labels.T]
    )
    return Score("MIG", float(found.mean()), error, float(perfect.mean()), definition, data.parts(found))


def factor_ratios(traced: PairTrace, sites: list[str], labels: np.ndarray, rows: Tensor) -> np.ndarray:
    """log q(z_bj | v_bk) - log q(z_bj) of one draw for each of M rows b, (M, d, F), in nats."""
    num_data = traced.shape[1]
    width = sum(traced.latents[name][0, 0].numel() for name in sites)
    own = torch.from_numpy(labels).to(traced.latents[sites[0]].device)
    parts = []
    for some in rows.to(own.device).split(max(1, CHUNK // (num_data * max(1, width)))):
        scores = torch.cat([cross_scores(traced, name, some)[0] for name in sites], -1)
        # the exponential of what underflows takes 70 times as long
        mass = (scores - scores.amax(1, keepdim=True)).clamp_min(LEAST_LOG).exp()
        total = (mass.sum(1) / num_data).log()
        same = (own[some, None] == own).to(mass.dtype)  # (b, N, F)
        conditional = (mass.transpose(1, 2) @ same / same.sum(1).unsqueeze(1)).log()
        parts.append((conditional - total.unsqueeze(-1)).double().cpu())
    return torch.cat(parts).numpy()


def gaps_signed(mutual: np.ndarray) -> np.ndarray:
    """As :func:`gaps`, of estimates that may be below 0; of one code the estimate itself."""
    if len(mutual) == 1:
        return mutual[0]
    ordered = np.sort(mutual, 0)
    return ordered[-1] - ordered[-2]
