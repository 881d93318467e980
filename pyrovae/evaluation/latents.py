"""What a guide does with its latent space: posterior moments, active units, KL per dimension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.divergence import site_kl
from pyrovae.core.doors import batches
from pyrovae.core.inference import inference
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.program import Program
from pyrovae.core.sites import Site, mask_scores, sample_sites
from pyrovae.core.trace import PairTrace, run_program, trace_pair
from pyrovae.distributions.density import is_density
from pyrovae.distributions.divergence import analytic_kl
from pyrovae.distributions.rank_one import RankOnePrecisionGaussian
from pyrovae.generate.expectation import factors

__all__ = ["Moments", "SiteKL", "active_units", "kl_per_dim", "posterior_moments"]

CORRELATED = (dist.MultivariateNormal, dist.LowRankMultivariateNormal, RankOnePrecisionGaussian)
PARTICLES = 64  # where a site's mean and scale are not closed, or depend on another site's draw


class Moments(NamedTuple):
    """Mean and scale (standard deviation) of q(z | x_n), (N, *event) each."""

    mean: Tensor
    scale: Tensor


@dataclass(frozen=True)
class SiteKL:
    """KL(q(z | x) || p(z)) of one latent site, in nats per datum, averaged over data.

    Attributes:
        per_dim: the event's shape, usually (d,); None where the site does not split into dimensions.
        total: of the whole site.
        closed_form: whether ``total`` is exact, not sampled.
        marginal: whether ``per_dim`` is of the guide's marginals, without what its correlations add to ``total``.
    """

    per_dim: Tensor | None
    total: float
    closed_form: bool
    marginal: bool


# ------------------------------------------------------------------------------------------------ moments
@public()
def posterior_moments(pair: PairLike, data: Any, batch_size: int = 500) -> dict[str, Moments]:
    """E[z | x_n] and sd[z | x_n] under q, of each latent site, (N, *event) each.

    Closed form where the guide's site has it. Otherwise, and where there are several sites, of which one may depend on
    another's draw, total variance being the mean of the variances plus the variance of the means, over 64 draws.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        batch_size: B.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4,), "real"), latent_dim=2)
    >>> posterior_moments(pair, torch.randn(7, 4))["z"].scale.shape
    torch.Size([7, 2])
    """
    pair = as_pair(pair)
    parts: list[dict[str, Moments]] = []
    with inference(pair):
        for batch in batches(pair, data, batch_size):
            sites = _latent_sites(pair.guide, batch, 1)
            if len(sites) > 1 or any(_closed_moments(site["fn"]) is None for site in sites.values()):
                sites = _latent_sites(pair.guide, batch, PARTICLES)
            parts.append({name: _moments(site) for name, site in sites.items()})
    return {
        name: Moments(*(torch.cat([getattr(part[name], field) for part in parts]).cpu() for field in Moments._fields))
        for name in parts[0]
    }


def _latent_sites(guide: Program, batch: Mapping[str, Tensor], num_particles: int) -> dict[str, Site]:
    sites = sample_sites(run_program(guide, batch, num_particles))
    return {name: site for name, site in sites.items() if not site["is_observed"]}


def _closed_moments(fn: TorchDistribution) -> Moments | None:
    try:
        closed = Moments(fn.mean, fn.stddev)
    except NotImplementedError:
        return None
    return None if closed.mean.isnan().any() else closed


def _moments(site: Site) -> Moments:
    closed = _closed_moments(site["fn"])
    if closed is None:
        value = site["value"].to(torch.get_default_dtype())
        return Moments(value.mean(0), value.std(0))
    variance = closed.scale.square().mean(0)
    if len(closed.mean) > 1:
        variance = variance + closed.mean.var(0)
    return Moments(closed.mean.mean(0), variance.sqrt())


def active_units(means: Tensor, threshold: float = 0.01) -> Tensor:
    """Var_x(E_q[z_i | x]) > threshold: which dimensions the guide uses, (d,) of bool.

    Args:
        means: posterior means, (N, d).
        threshold: on the variance.

    References: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016.

    >>> active_units(torch.tensor([[0.0, 1.0], [0.01, -1.0]]))
    tensor([False,  True])
    """
    return means.var(0) > threshold


# ------------------------------------------------------------------------------------------------ KL
@public()
def kl_per_dim(pair: PairLike, data: Any, num_samples: int = 1, batch_size: int = 500) -> dict[str, SiteKL]:
    """(1/N) sum_n KL(q(z_i | x_n) || p(z_i)) of each dimension i of each latent site, in nats per datum.

    Closed form where both programs draw the dimensions independently and the KL of the two distributions is registered; where
    only the guide has correlations (a MultivariateNormal), the KL of its marginals; otherwise sampled, if both
    factorize. Where a site has parents, they are at the guide's draws. A site that is a point, or has no prior, has no KL and
    is left out.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_samples: K draws a datum, for what is sampled.
        batch_size: B.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4,), "real"), latent_dim=2)
    >>> kl = kl_per_dim(pair, torch.randn(7, 4))["z"]
    >>> kl.closed_form, kl.marginal, abs(float(kl.per_dim.sum()) - kl.total) < 1e-4
    (True, False, True)
    """
    pair = as_pair(pair)
    sums: dict[str, SiteKL] = {}
    count = 0
    with inference(pair):
        for batch in batches(pair, data, batch_size):
            traced = trace_pair(pair.model, pair.guide, batch, num_samples, enumerate_sites=False)
            rows = traced.shape[1]
            count += rows
            for name in (n for n in traced.guide_sites if _has_kl(traced, n)):
                sums[name] = _add(sums.get(name), _site_kl(traced, name), rows)
    return {
        name: SiteKL(None if kl.per_dim is None else (kl.per_dim / count).cpu(), kl.total / count, kl.closed_form, kl.marginal)
        for name, kl in sums.items()
    }


def _has_kl(traced: PairTrace, name: str) -> bool:
    return all(is_density(sites[name]["fn"]) for sites in (traced.guide_sites, traced.model_sites))


def _add(before: SiteKL | None, kl: SiteKL, rows: int) -> SiteKL:
    per_dim = None if kl.per_dim is None else kl.per_dim.double() * rows
    if before is None:
        return SiteKL(per_dim, kl.total * rows, kl.closed_form, kl.marginal)
    both = None if per_dim is None or before.per_dim is None else before.per_dim + per_dim
    return SiteKL(both, before.total + kl.total * rows, kl.closed_form, kl.marginal)


def _site_kl(traced: PairTrace, name: str) -> SiteKL:
    """Means over the (K, B) of a trace."""
    guide, model = traced.guide_sites[name], traced.model_sites[name]
    try:
        scores, closed_form = site_kl(guide, model), True
    except NotImplementedError:
        scores, closed_form = traced.log_q[name] - traced.log_p[name], False
    per_dim, marginal = _dims(guide, model, traced.shape)
    return SiteKL(per_dim, float(scores.expand(traced.shape).mean()), closed_form, marginal)


def _dims(guide: Site, model: Site, shape: tuple[int, ...]) -> tuple[Tensor | None, bool]:
    q, p = factors(guide["fn"]), factors(model["fn"])
    marginal = isinstance(guide["fn"], CORRELATED)
    if marginal:
        q = dist.Normal(guide["fn"].mean, guide["fn"].stddev)
    if q is None or p is None:
        return None, False
    try:
        kl = analytic_kl(q, p)
    except NotImplementedError:
        if marginal:
            return None, False
        kl = q.log_prob(guide["value"]) - p.log_prob(guide["value"])
    event = guide["fn"].event_shape
    mask = guide["mask"]
    if isinstance(mask, Tensor):
        mask = mask.reshape(*mask.shape, *[1] * len(event))
    return mask_scores({**guide, "mask": mask}, kl).expand(*shape, *event).mean((0, 1)), marginal
