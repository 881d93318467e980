"""Walks through the latent space: traversals, interpolations, manifolds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from pyrovae.core.inference import device_of, evaluating
from pyrovae.core.pair import Batch, Program, batch_size, running, template
from pyrovae.core.trace import fixed, run_program, sample_sites
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.generate.ancestral import _refuse_unknown
from pyrovae.generate.expectation import Expectations, expectation, factors, picture_site
from pyrovae.generate.reconstruction import _batch, _continuous, posterior_means

__all__ = ["interpolate", "manifold", "traverse"]


MOST_DIMS = 10  # that a traversal shows when not told which


def traverse(
    model: Program,
    guide: Program,
    x: Mapping[str, Tensor] | Tensor,
    site: str | None = None,
    dims: Iterable[int] | None = None,
    values: Sequence[float] | Tensor | None = None,
) -> Tensor:
    """E[x | z], one dimension of z at a time set to each of ``values``, the rest at the posterior mean of one datum.

    Args:
        model, guide: the two programs.
        x: one datum, (1, *shape); (*shape) where the model's shape is known; or a batch of one row.
        site: the latent site to vary; by default the only vector-valued one. Other sites keep their posterior mean, so
            only what depends on the site directly changes.
        dims: which of its dimensions; by default the first 10.
        values: to give them; by default 11 from -3 to 3.

    Returns:
        (len(dims), len(values), *shape).

    Raises:
        OptionError: no such site or dimension, or several sites to choose from.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4, 4), "real"), latent_dim=3)
    >>> traverse(pair.model, pair.guide, torch.zeros(1, 4, 4)).shape
    torch.Size([3, 11, 4, 4])
    """
    batch = _datum(model, guide, x)
    with running(model, guide), evaluating(model, guide), torch.no_grad():
        latents, events = posterior_means(guide, batch)
        site = _vector_site(events, site)
        center = latents[site][0]
        chosen = list(range(min(len(center), MOST_DIMS))) if dims is None else [int(i) for i in dims]
        if not chosen or not all(0 <= i < len(center) for i in chosen):
            raise OptionError(f"dims is {chosen}; site {site!r} has dimensions 0 to {len(center) - 1}.")
        grid = torch.arange(-5, 6) * 0.6 if values is None else torch.as_tensor(values)
        walks = center.repeat(len(chosen), len(grid), 1)
        for row, i in enumerate(chosen):
            walks[row, :, i] = grid.to(center)
        pictures = _decode(model, batch, {**latents, site: walks.flatten(0, 1)}, len(chosen) * len(grid))
        return pictures.unflatten(0, (len(chosen), len(grid)))


def interpolate(
    model: Program,
    guide: Program,
    start: Mapping[str, Tensor] | Tensor,
    end: Mapping[str, Tensor] | Tensor,
    num: int = 11,
    site: str | None = None,
) -> Tensor:
    """E[x | (1 - t) z_start + t z_end], t = 0 .. 1, between the posterior means of two data, (num, *shape).

    Args:
        model, guide: the two programs.
        start, end: one datum each, as for :func:`traverse`.
        num: how many pictures, both ends included.
        site: the latent site to move; by default all of them. What cannot be moved (labels) stays at ``start``.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4,), "real"))
    >>> interpolate(pair.model, pair.guide, torch.zeros(1, 4), torch.ones(1, 4), num=5).shape
    torch.Size([5, 4])
    """
    batch, other = _datum(model, guide, start), _datum(model, guide, end)
    with running(model, guide), evaluating(model, guide), torch.no_grad():
        latents, movable = posterior_means(guide, batch)
        target, _ = posterior_means(guide, other)
        if site is not None and site not in latents:
            raise nearest("latent site", site, latents)
        moved = [name for name in movable if site in (None, name)]
        paths = {}
        for name in moved:
            t = torch.linspace(0, 1, num).to(latents[name]).reshape(num, *[1] * (latents[name].dim() - 1))
            paths[name] = torch.lerp(latents[name], target[name], t)
        return _decode(model, batch, {**latents, **paths}, num)


def manifold(model: Program, num: int = 20, site: str | None = None, like: Mapping[str, Tensor] | None = None) -> Tensor:
    """E[x | z = (F^-1(u_i), F^-1(u_j))], u_i = (i + 1/2) / num, F the prior's cdf: the data manifold of a 2-d latent.

    Args:
        model: the generative program.
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
    >>> manifold(vae(DataSpec("toy", (4, 4), "real"), latent_dim=2).model, num=5).shape
    torch.Size([5, 5, 4, 4])
    """
    batch = template(model, num * num, like)
    with running(model), evaluating(model), torch.no_grad(), Expectations():
        prior = sample_sites(run_program(model, batch))
        _refuse_unknown(model, batch, {picture_site(prior)} | set(like or {}))
        latent = _continuous(prior)
        site = _vector_site(latent, site)
        base = factors(prior[site]["fn"])
        if latent[site] != (2,) or base is None:
            raise ContractError(
                f"site {site!r} has event shape {tuple(latent[site])} and prior {prior[site]['fn']}; a manifold needs "
                "a site of 2 independent dimensions: use traverse, or a pair with latent_dim=2."
            )
        u = (torch.arange(num, device=device_of(model, model)) + 0.5) / num
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
    sites = sample_sites(run_program(model, batch, replay=fixed(latents)))
    return expectation(sites[picture_site(sites)]["fn"])


def _datum(model: Program, guide: Program, x: Mapping[str, Tensor] | Tensor) -> Batch:
    """A batch of one row."""
    batch = _batch(model, guide, x)
    if isinstance(x, Tensor):
        try:
            known = tuple(template(model, 1)["x"].shape[1:])
        except (ContractError, KeyError):
            known = None
        if tuple(x.shape) == known:
            batch = {"x": batch["x"].unsqueeze(0)}
    if batch_size(batch) != 1:
        raise ContractError(f"x came with {batch_size(batch)} rows; expected one datum, (1, *shape): pass x[i:i + 1].")
    return batch


def _vector_site(events: Mapping[str, torch.Size], site: str | None) -> str:
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
