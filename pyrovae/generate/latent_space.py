"""Walks through the latent space: traversals, interpolations, manifolds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from pyrovae.calls import public
from pyrovae.core.doors import as_datum
from pyrovae.core.inference import inference
from pyrovae.core.keys import drawn_keys
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.program import Batch, Program, template
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.generate.expectation import Expectations, expectation, factors, picture_site
from pyrovae.generate.geometry import default_values, path, with_coordinate
from pyrovae.generate.given import refuse_own_reading, refuse_unknown
from pyrovae.generate.reconstruction import continuous, posterior_means

__all__ = ["interpolate", "manifold", "traverse", "traversed_values"]


BELOW = ("hold", "mean", "draw")  # what becomes of sites below one that is moved
MAX_TRAVERSED_DIMS = 10  # that a traversal shows when not told which


@public()
def traverse(
    pair: PairLike,
    data: Any,
    site: str | None = None,
    dims: Iterable[int] | None = None,
    values: Sequence[float] | Tensor | None = None,
    below: str = "hold",
) -> Tensor:
    """E[x | z], one dimension of z at a time set to each of ``values``, the rest at the posterior mean of one datum.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: one datum, in any form that :func:`pyrovae.data.load` takes, (1, *shape); or (*shape) where that is known.
        site: the latent site to vary; by default the only vector-valued one.
        below: latent sites that the model draws after it: "hold" them at their posterior mean, so that only what depends on
            the site directly changes, let them follow at their "mean" given what is above them, or "draw" them.
        dims: which of its dimensions; by default the first 10.
        values: to give them; by default 11 from -3 to 3, of a unit vector from -1 to 1, to which its other coordinates give
            way together. In the Poincare ball they are coordinates of the tangent space of its origin.

    Returns:
        (len(dims), len(values), *shape).

    Raises:
        OptionError: no such site or dimension, or several sites to choose from.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4, 4), "real"), latent_dim=3)
    >>> traverse(pair, torch.zeros(1, 4, 4)).shape
    torch.Size([3, 11, 4, 4])
    """
    if below not in BELOW:
        raise OptionError(f"below is {below!r}; expected one of {', '.join(BELOW)}.")
    pair = as_pair(pair)
    batch = as_datum(pair, data)
    with inference(pair):
        latents, events = posterior_means(pair.guide, batch)
        site = _vector_site(events, site, latents)
        center = latents[site][0]
        chosen = list(range(min(len(center), MAX_TRAVERSED_DIMS))) if dims is None else list(dims)
        if not all(type(i) is int for i in chosen):
            raise OptionError(f"dims is {chosen!r}; expected whole numbers, dimensions of a latent site.")
        if not chosen or not all(0 <= i < len(center) for i in chosen):
            raise OptionError(f"dims is {chosen}; site {site!r} has dimensions 0 to {len(center) - 1}.")
        support = _supports(pair.guide, batch)[site]
        grid = default_values(support) if values is None else _grid(values)
        walks = torch.stack([with_coordinate(support, center, i, grid.to(center), site) for i in chosen])
        held = latents if below == "hold" else _above(pair.model, batch, latents, site)
        with Expectations() if below == "mean" else nullcontext():
            pictures = _decode(pair.model, batch, {**held, site: walks.flatten(0, 1)}, len(chosen) * len(grid))
        return pictures.unflatten(0, (len(chosen), len(grid)))


def _above(model: Program, batch: Batch, latents: Mapping[str, Tensor], site: str) -> dict[str, Tensor]:
    """The latents that the model does not draw after a site."""
    order = list(sample_sites(run_program(model, batch, replay=latents_trace(latents))))
    return {name: value for name, value in latents.items() if name not in order[order.index(site) + 1 :]}


def traversed_values(pair: PairLike, data: Any, site: str) -> Tensor:
    """The values that :func:`traverse` gives the dimensions of a site when it is told none."""
    pair = as_pair(pair)
    with inference(pair):
        return default_values(_supports(pair.guide, as_datum(pair, data))[site])


def _supports(guide: Program, batch: Batch) -> dict[str, Constraint]:
    """The sets that the guide's sites live in."""
    return {name: site["fn"].support for name, site in sample_sites(run_program(guide, batch)).items()}


def _grid(values: Sequence[float] | Tensor) -> Tensor:
    """The values as a vector; OptionError where they are no finite numbers."""
    try:
        grid = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        grid = torch.full((1,), torch.nan)
    if grid.dim() != 1 or grid.is_complex() or not bool(grid.isfinite().all()) or not len(grid):
        raise OptionError(f"values is {values!r}; expected a list of finite numbers.")
    return grid


@public()
def interpolate(
    pair: PairLike,
    data_a: Any,
    data_b: Any,
    num: int = 11,
    site: str | None = None,
) -> Tensor:
    """E[x | (1 - t) z_a + t z_b], t = 0 .. 1, between the posterior means of two data, (num, *shape).

    Unit vectors stay so: their path is the great circle's arc; in the Poincare ball it is the geodesic.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data_a: one datum each, as for :func:`traverse`.
        data_b: one datum each, as for :func:`traverse`.
        num: how many pictures, both ends included.
        site: the latent site to move; by default all of them. What cannot be moved (labels) stays that of a.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> interpolate(vae(DataSpec("toy", (4,), "real")), torch.zeros(1, 4), torch.ones(1, 4), num=5).shape
    torch.Size([5, 4])
    """
    pair = as_pair(pair)
    batch, other = as_datum(pair, data_a), as_datum(pair, data_b)
    with inference(pair):
        latents, movable = posterior_means(pair.guide, batch)
        target, _ = posterior_means(pair.guide, other)
        if site is not None and site not in latents:
            raise nearest("latent site", site, latents)
        moved = [name for name in movable if site in (None, name)]
        if not moved:
            raise discrete_site(site or next(iter(latents)))
        paths, supports = {}, _supports(pair.guide, batch)
        for name in moved:
            t = torch.linspace(0, 1, num).to(latents[name]).reshape(num, *[1] * (latents[name].dim() - 1))
            paths[name] = path(supports[name], latents[name], target[name], t)
        return _decode(pair.model, batch, {**latents, **paths}, num)


@public()
def manifold(pair: PairLike, num: int = 20, site: str | None = None, like: Mapping[str, Tensor] | None = None) -> Tensor:
    """E[x | z = (F^-1(u_i), F^-1(u_j))], u_i = (i + 1/2) / num, F the prior's cdf: the data manifold of a 2-d latent.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        num: points along each axis.
        site: the 2-dimensional latent site; by default the only vector-valued one. Others are at their prior mean.
        like: entries of the batch besides x (labels, covariates), one row.

    Returns:
        (num, num, *shape), the first axis along z[0], the second along z[1].

    Raises:
        ContractError: the site is not 2-dimensional, its prior has no quantiles, or an entry of the batch is missing.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Fig. 4.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> manifold(vae(DataSpec("toy", (4, 4), "real"), latent_dim=2), num=5).shape
    torch.Size([5, 5, 4, 4])
    """
    pair = as_pair(pair)
    model = pair.model
    batch = template(model, num * num, like)
    with inference(pair) as device, Expectations():
        prior = sample_sites(run_program(model, batch))
        shown = {n: s for n, s in drawn_keys(model, batch, given=set(like or {})).items() if n == picture_site(prior)}
        refuse_unknown(model, batch, {picture_site(prior)} | set(like or {}), shown)
        latent = continuous(prior)
        site = _vector_site(latent, site, [name for name, each in prior.items() if not each["is_observed"]])
        base = factors(prior[site]["fn"])
        if latent[site] != (2,) or base is None:
            raise ContractError(
                f"site {site!r} has event shape {tuple(latent[site])} and prior {prior[site]['fn']}; a manifold needs "
                "a site of 2 independent dimensions: use traverse, or a pair with latent_dim=2."
            )
        u = (torch.arange(num, device=device) + 0.5) / num
        try:
            z = base.icdf(torch.cartesian_prod(u, u))
        except NotImplementedError as error:
            raise ContractError(
                f"the prior of site {site!r} ({type(base).__name__}) has no quantile function (icdf); use traverse."
            ) from error
        return _decode(model, batch, {site: z}, num * num).unflatten(0, (num, num))


def _decode(model: Program, batch: Batch, latents: Mapping[str, Tensor], rows: int) -> Tensor:
    """E[x | latents] of the picture site, (rows, *shape); entries of one row stand for all rows."""
    batch, latents = ({key: value.expand(rows, *value.shape[1:]) for key, value in d.items()} for d in (batch, latents))
    sites = sample_sites(run_program(model, batch, replay=latents_trace(latents)))
    refuse_own_reading(model, batch, picture_site(sites))
    return expectation(sites[picture_site(sites)]["fn"])


def discrete_site(site: str) -> OptionError:
    """Of a site that has no values between its values."""
    return OptionError(f"site {site!r} is discrete, and nothing lies between its values; draw x at one by sample(given=...).")


def _vector_site(events: Mapping[str, torch.Size], site: str | None, latents: Collection[str]) -> str:
    """The site that was chosen of those that can be moved, out of all latent ones."""
    if unmoved := next((name for name in latents if name not in events and (name == site or not events)), None):
        raise discrete_site(unmoved)
    vectors = [name for name, shape in events.items() if len(shape) == 1]
    if site is None and len(vectors) == 1:
        return vectors[0]
    if site is None:
        raise OptionError(
            f"which latent site? {len(vectors)} are vectors ({', '.join(vectors) or 'none'}) of {', '.join(events)}; "
            "give site=."
        )
    if site not in events:
        raise nearest("latent site", site, events)
    if site not in vectors:
        raise OptionError(f"site {site!r} has event shape {tuple(events[site])}; expected a vector, (d,).")
    return site
