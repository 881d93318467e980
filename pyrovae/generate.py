"""Draws and pictures of any pair: ancestral samples, posterior draws, reconstructions, walks through the latent space.

No model has hooks for this. Its program is run on a batch of the right shape, with observed sites drawn
(``poutine.uncondition``) or latent sites held at given values (``poutine.replay``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from pyro import poutine
from pyro.distributions import OneHotCategorical, TorchDistribution
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.modes import device_of, evaluating
from pyrovae.pair import Batch, Program, batch_size, describe, inputs, running, template
from pyrovae.trace import Site, fixed, run_program, sample_sites, trace_pair

__all__ = [
    "Expectations",
    "expectation",
    "factors",
    "interpolate",
    "manifold",
    "picture_site",
    "posterior",
    "posterior_means",
    "reconstruct",
    "sample",
    "traverse",
]

ROWS = 5000  # particles x data in one pass
DRAWS = 64  # for the mean of a distribution that has no closed one
MOST_DIMS = 10  # that a traversal shows when not told which


# ------------------------------------------------------------------------------------------------ draws
def sample(model: Program, n: int, like: Mapping[str, Tensor] | None = None, mean: bool = False) -> dict[str, Tensor]:
    """x, z ~ p(x, z): n ancestral draws of every sample site, (n, *event).

    Args:
        model: the generative program.
        n: how many.
        like: entries of the batch, n rows or one: covariates (``lengths``, ...) keep their values, an observed site
            takes its shape only. Not needed by a model that was trained and has no covariates.
        mean: give E[x | z] in place of a draw at each observed site, as pictures usually do.

    Raises:
        ContractError: the shape of a datum is not known, the model reads a covariate that ``like`` lacks, or it has no prior.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> {name: tuple(draws.shape) for name, draws in sample(vae(DataSpec("toy", (4, 4), "real")).model, 3).items()}
    {'z': (3, 50), 'x': (3, 4, 4)}
    """
    if n < 1:
        raise OptionError(f"n is {n}; expected at least one draw.")
    batch = template(model, n, like)
    with running(model), evaluating(model), torch.no_grad():
        try:
            with poutine.uncondition():
                sites = sample_sites(run_program(model, batch))
        except ContractError as error:  # of a model without a prior; Pyro adds a table of shapes
            raise ContractError(str(error).partition("\n")[0]) from None
        _refuse_unknown(model, batch, set(sites) | set(like or {}))
        return {
            name: expectation(site["fn"]) if mean and site["infer"].get("was_observed") else site["value"]
            for name, site in sites.items()
        }


def posterior(model: Program, guide: Program, batch: Mapping[str, Tensor] | Tensor, num_samples: int = 1) -> dict[str, Tensor]:
    """z_kb ~ q(z | x_b): K draws of each latent site, (K, B, *event).

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4,), "real"), latent_dim=2)
    >>> posterior(pair.model, pair.guide, torch.zeros(5, 4), num_samples=3)["z"].shape
    torch.Size([3, 5, 2])
    """
    with running(model, guide), evaluating(model, guide), torch.no_grad():
        return _values(run_program(guide, _batch(model, guide, batch), num_samples))


def reconstruct(model: Program, guide: Program, x: Mapping[str, Tensor] | Tensor, num_samples: int = 1) -> Tensor:
    """(1/K) sum_k E[x_b | z_kb], z_kb ~ q(z | x_b): the mean of the posterior predictive, (B, *shape).

    Args:
        model, guide: the two programs.
        x: (B, *shape), or a batch where the programs need more than x.
        num_samples: K.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4, 4), "binary"))
    >>> reconstruct(pair.model, pair.guide, torch.ones(5, 4, 4)).shape
    torch.Size([5, 4, 4])
    """
    if num_samples < 1:
        raise OptionError(f"num_samples is {num_samples}; expected at least 1.")
    batch = _batch(model, guide, x)
    step = max(1, ROWS // num_samples)
    with running(model, guide), evaluating(model, guide), torch.no_grad():
        parts = []
        for start in range(0, batch_size(batch), step):
            part = {key: value[start : start + step] for key, value in batch.items()}
            parts.append(_mean_given_latents(model, guide, part, num_samples))
        return torch.cat(parts)


def _mean_given_latents(model: Program, guide: Program, batch: Batch, num_samples: int) -> Tensor:
    total: Tensor | float = 0.0
    for start in range(0, num_samples, ROWS):
        sites = trace_pair(model, guide, batch, min(ROWS, num_samples - start), enumerate_sites=False).model_sites
        total = total + expectation(sites[picture_site(sites)]["fn"]).sum(0)
    return total / num_samples


# ------------------------------------------------------------------------------------------------ walks
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


# ------------------------------------------------------------------------------------------------ parts
class Expectations(Messenger):
    """Sites that would be drawn hold the mean of their distribution, so that a program runs without chance."""

    def _pyro_sample(self, msg: Site) -> None:
        if not (msg["done"] or msg["is_observed"] or site_is_subsample(msg)):
            msg["value"], msg["done"] = expectation(msg["fn"]), True


def expectation(fn: TorchDistribution) -> Tensor:
    """E[v], v ~ fn: in closed form, else the mean of 64 draws; the mode of what has no mean (labels).

    >>> import pyro.distributions as dist
    >>> expectation(dist.Normal(torch.tensor([1.0, 2.0]), 1.0)), expectation(dist.Categorical(torch.tensor([0.2, 0.8])))
    (tensor([1., 2.]), tensor(1))
    """
    if isinstance(fn, OneHotCategorical):
        return fn.mode
    try:
        value = fn.mean
    except NotImplementedError:
        return fn.sample(torch.Size([DRAWS])).mean(0)
    return fn.mode if value.isnan().all() else value


def factors(fn: TorchDistribution) -> TorchDistribution | None:
    """The scalar laws whose product a site is, its event's shape in their batch shape; None where it is no product.

    >>> import pyro.distributions as dist
    >>> factors(dist.Normal(torch.zeros(5, 3), 1.0).to_event(1)).batch_shape
    torch.Size([5, 3])
    """
    while hasattr(fn, "reinterpreted_batch_ndims"):
        fn = fn.base_dist
    return fn if len(fn.event_shape) == 0 else None


def picture_site(sites: Mapping[str, Site]) -> str:
    """The observed site that pictures show: x where there is one, else the first."""
    observed = [name for name, site in sites.items() if site["is_observed"]]
    if not observed:
        raise ContractError(f"the model observes nothing (its sites are {', '.join(sites)}); give a site obs=x.")
    return "x" if "x" in observed else observed[0]


def _values(trace: poutine.Trace) -> dict[str, Tensor]:
    return {name: site["value"] for name, site in sample_sites(trace).items() if not site["is_observed"]}


def posterior_means(guide: Program, batch: Batch) -> tuple[dict[str, Tensor], dict[str, torch.Size]]:
    """Means of the guide's sites, each given the means of those before it, (B, *event); event shapes of the continuous."""
    with Expectations():
        trace = run_program(guide, batch)
    return _values(trace), _continuous(sample_sites(trace))


def _continuous(sites: Mapping[str, Site]) -> dict[str, torch.Size]:
    """Event shapes of the latent sites that can be moved: labels cannot."""
    latent = {name: site["fn"] for name, site in sites.items() if not site["is_observed"]}
    return {name: fn.event_shape for name, fn in latent.items() if not fn.support.is_discrete}


def _decode(model: Program, batch: Batch, latents: Mapping[str, Tensor], rows: int) -> Tensor:
    """E[x | latents] of the picture site, (rows, *shape); entries of one row stand for all rows."""
    batch, latents = ({key: value.expand(rows, *value.shape[1:]) for key, value in d.items()} for d in (batch, latents))
    sites = sample_sites(run_program(model, batch, replay=fixed(latents)))
    return expectation(sites[picture_site(sites)]["fn"])


def _batch(model: Program, guide: Program, x: Mapping[str, Tensor] | Tensor) -> Batch:
    """A batch on the pair's device, of a tensor x or of a batch."""
    device = device_of(model, guide)
    return {key: value.to(device) for key, value in (x if isinstance(x, Mapping) else {"x": x}).items()}


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


def _refuse_unknown(model: Program, batch: Batch, known: set[str]) -> None:
    unknown = sorted(inputs(model, batch).keys() - known)
    if unknown:
        raise ContractError(
            f"{describe(model)} reads {unknown[0]!r}, whose values it does not draw here; give "
            f"like={{{unknown[0]!r}: a tensor of one row, or one for each draw}}."
        )
