"""What a model says of data at given latents: the mean of its likelihood, or one of its parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from pyro.distributions import MaskedDistribution, TorchDistribution
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.inference import inference
from pyrovae.core.keys import drawn_keys
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.program import Program, describe, template
from pyrovae.core.sites import Site
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.generate import chunks
from pyrovae.generate.expectation import expectation, observed_sites
from pyrovae.generate.given import draw_sites, example_sites, refuse_own_reading, refuse_unknown, site_value

__all__ = ["decode"]


@public()
def decode(
    pair: PairLike,
    z: Mapping[str, Any] | Tensor,
    parameter: str | None = None,
    *,
    site: str | None = None,
    like: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """E[x | z], the mean of the likelihood at given latents, or one of its parameters, (*lead, *shape).

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        z: values of the latent site, (*lead, *event) with any leading dimensions; of several sites a dict of them. Whole
            numbers are classes of a one-hot site, as in ``{"y": 3, "z": z}``. Sites on which x does not depend, given the
            others, may be left out.
        parameter: of the likelihood, by its name in Pyro ("logits", "probs", "loc", "scale", ...), in place of the mean.
        site: the observed site; by default x, or the first where none is called x.
        like: covariates of the model, one row, or one for each of z; and the shape of x for a model that has not seen data.

    Raises:
        OptionError: no such site or parameter, or values of another shape or outside the support.
        ContractError: x depends on a site that is not given, or on a covariate.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4, 4), "binary"), latent_dim=2)
    >>> decode(pair, torch.zeros(3, 2)).shape, decode(pair, torch.zeros(2), "logits").shape
    (torch.Size([3, 4, 4]), torch.Size([4, 4]))
    """
    pair = as_pair(pair)
    model = pair.model
    with inference(pair):
        sites = example_sites(model, template(model, 1, _first_row(like)))
        target = _target(sites, site)
        values, lead = _latents(model, sites, target, z)
        batch = template(model, math.prod(lead), like)
        sources = drawn_keys(model, batch, given=set(like or {}))
        refuse_unknown(model, batch, {*sites, *(like or {})}, sources)
        refuse_own_reading(model, batch, target)
        before = list(sites)[: list(sites).index(target)]
        missing = [name for name in before if name not in values]

        def mean(part: Mapping[str, Tensor]) -> Tensor:
            held = {name: part[f"held {name}"] for name in values}
            rest = {key: value for key, value in part.items() if not key.startswith("held ")}
            with torch.random.fork_rng():
                results = [
                    _of(draw_sites(model, rest, held, sources)[target]["fn"], parameter) for _ in range(2 if missing else 1)
                ]
            if missing and not torch.equal(*results):
                raise ContractError(
                    f"{target} depends on {', '.join(missing)} too, which z lacks; give a dict of {', '.join(before)}."
                )
            return results[0]

        whole = {**batch, **{f"held {name}": value for name, value in values.items()}}
        result = torch.cat([*chunks.map_rows(mean, whole, chunks.ROWS_PER_PASS, False)])
        return result.unflatten(0, lead) if lead else result[0]


def _first_row(like: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
    return None if like is None else {key: value[:1] for key, value in like.items()}


def _target(sites: Mapping[str, Site], site: str | None) -> str:
    observed = observed_sites(sites)
    if site is not None and site not in observed:
        raise nearest("observed site", site, observed)
    if not observed:
        raise ContractError(f"the model observes nothing (its sites are {', '.join(sites)}); give a site obs=x.")
    return site or ("x" if "x" in observed else observed[0])


def _latents(
    model: Program, sites: Mapping[str, Site], target: str, z: Mapping[str, Any] | Tensor
) -> tuple[dict[str, Tensor], tuple[int, ...]]:
    """Values of the given sites, (rows, *event), and the leading dimensions that rows stand for."""
    latent = [name for name, site in sites.items() if not site["infer"].get("was_observed")]
    if not isinstance(z, Mapping):
        if len(latent) != 1:
            raise OptionError(
                f"z came as one value, but {describe(model)} has latent sites {', '.join(latent) or '(none)'}; give a dict."
            )
        z = {latent[0]: z}
    held = {}
    for name, given in z.items():
        if name not in sites or name == target:
            raise nearest("site to decode from", name, [each for each in sites if each != target])
        held[name] = site_value(sites[name], given, f"z[{name!r}]")
    events = {name: len(sites[name]["fn"].event_shape) for name in held}
    try:
        lead = torch.broadcast_shapes(*[value.shape[: value.dim() - events[name]] for name, value in held.items()])
    except RuntimeError:
        shapes = {name: tuple(value.shape) for name, value in held.items()}
        raise OptionError(f"the sites of z have shapes {shapes}, whose leading dimensions do not fit together.") from None
    values = {
        name: value.expand(*lead, *value.shape[value.dim() - events[name] :]).reshape(-1, *sites[name]["fn"].event_shape)
        for name, value in held.items()
    }
    return values, tuple(lead)


def _of(fn: TorchDistribution, parameter: str | None) -> Tensor:
    """The mean of a distribution, or a parameter."""
    if parameter is None:
        return expectation(fn)
    while hasattr(fn, "reinterpreted_batch_ndims") or isinstance(fn, MaskedDistribution):
        fn = fn.base_dist
    if parameter not in fn.arg_constraints:
        raise nearest(f"parameter of {type(fn).__name__}", parameter, fn.arg_constraints)
    return getattr(fn, parameter)
