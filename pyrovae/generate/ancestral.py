"""Ancestral draws of any pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.inference import inference
from pyrovae.core.keys import drawn_keys
from pyrovae.core.pair import PairLike, as_pair
from pyrovae.core.program import Batch, Program, signature, template
from pyrovae.core.sites import Site
from pyrovae.core.steps import StepModel
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.generate import chunks
from pyrovae.generate.expectation import expectation, observed_sites
from pyrovae.generate.given import (
    by_labels,
    draw_sites,
    example_sites,
    must_pass_again,
    refuse_factors,
    refuse_own_reading,
    refuse_posterior,
    refuse_unknown,
    site_value,
)
from pyrovae.generate.whole_keys import whole_keys

__all__ = ["sample"]

HELD_PREFIX = "held "  # before a held site's name among the entries of a pass


@public()
def sample(
    pair: PairLike,
    num: int = 1,
    given: Mapping[str, Any] | None = None,
    like: Mapping[str, Tensor] | None = None,
    *,
    mean: bool = False,
    compile: bool = False,
) -> dict[str, Tensor]:
    """x, z ~ p(x, z), or p(the rest | what is given): draws of every sample site, (num, *event), at most 5,000 in one pass.

    Sites are drawn parents first, those that are given held at their values. That is exact where the distribution of no given
    site depends on a site that is drawn (a class, a style, all latents: yes; x without its latents: no), and refused
    elsewhere, where draws of a posterior are asked for. Of a pair in steps each key is there too, its steps
    together.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        num: how many.
        given: values of sites, latent or observed, and of covariates, by name: one for all draws, (*event) or (1, *event), or
            one for each, (num, *event). Whole numbers are classes of a one-hot site, as in ``given={"y": 3}``; classes
            that have names in the data go by these, ``given={"y": "cat"}``.
        like: entries of a batch, num rows or one: covariates (``lengths``, ...) keep their values, an observed site
            takes its shape only. Not needed by a model that was trained and has no covariates.
        mean: give E[x | z] in place of a draw at each observed site, as pictures usually do.
        compile: compile a pass, which takes some seconds and pays for millions of draws or large networks.

    Raises:
        ContractError: the shape of a datum is not known, the model reads a covariate that nobody gave, it has no prior, or
            what is given depends on what is drawn.
        OptionError: no such site, or a value that it cannot have.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4, 4), "real"), latent_dim=2)
    >>> {name: tuple(draws.shape) for name, draws in sample(pair, 3).items()}
    {'z': (3, 2), 'x': (3, 4, 4)}
    >>> sample(pair, 3, given={"z": [1.0, -1.0]})["z"][2]
    tensor([ 1., -1.])
    """
    pair = as_pair(pair)
    given = by_labels(pair, given or {})
    model, known = pair.model, {*(like or {}), *given}
    batch = template(model, num, {**(like or {}), **_covariates(model, given, like)})
    with inference(pair):
        sites = example_sites(model, batch)
        refuse_factors(model, sites)
        sources = drawn_keys(model, batch, given=known)
        held = _held(model, sites, given, num)
        refuse_unknown(model, batch, known, sources)
        again = must_pass_again(model, batch, held, sources, known)
        if held:
            refuse_posterior(model, batch, held, sources, again)
        if mean:
            refuse_own_reading(model, batch, *observed_sites(sites))

        def draw(part: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> dict[str, Site]:
            return draw_sites(model, part, values, sources, again)

        draws = _draws(draw, batch, held, sites, num, mean, compile and not again)
        return {**draws, **(whole_keys(batch, sources, draws) if isinstance(model, StepModel) else {})}


def _draws(
    draw_part: Callable[[Batch, Batch], dict[str, Site]],
    batch: Batch,
    held: Mapping[str, Tensor],
    sites: Mapping[str, Site],
    num: int,
    mean: bool,
    compile: bool,
) -> dict[str, Tensor]:
    """Each site's draws, (num, *event), pass by pass."""

    def draw(part: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        values = {name: part[HELD_PREFIX + name] for name in held}
        drawn = draw_part({key: value for key, value in part.items() if not key.startswith(HELD_PREFIX)}, values)
        return tuple(_value(site, mean and name not in held) for name, site in drawn.items())

    shared = any(not site["cond_indep_stack"] for site in sites.values())  # by all draws: one pass
    whole = {**batch, **{HELD_PREFIX + name: value for name, value in held.items()}}
    parts = [*chunks.map_rows(draw, whole, num if shared else chunks.ROWS_PER_PASS, compile)]
    return dict(zip(sites, parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True)), strict=True))


def _value(site: Site, mean: bool) -> Tensor:
    return expectation(site["fn"]) if mean and site["infer"].get("was_observed") else site["value"]


def _covariates(model: Program, given: Mapping[str, Any], like: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """What is given of the model's own arguments, as rows."""
    names = [name for name in given if name in signature(model).parameters and name not in (like or {})]
    known: Batch = {}
    if names:
        try:
            known = template(model, 1, like)
        except ContractError:  # a model that has not seen data: the first dimension is that of rows
            known = {}
    found = {}
    for name in names:
        value = torch.as_tensor(given[name])
        one = value.dim() == 0 or (name in known and value.shape == known[name].shape[1:])
        value = value.unsqueeze(0) if one else value
        found[name] = value.to(known[name].dtype) if name in known else value
    return found


def _held(model: Program, sites: Mapping[str, Site], given: Mapping[str, Any], num: int) -> dict[str, Tensor]:
    """The values of the given sites, (num, *event)."""
    held = {}
    for name in given:
        if name not in sites:
            if name not in signature(model).parameters:
                raise nearest("site", name, {*sites, *signature(model).parameters})
            continue
        if not sites[name]["cond_indep_stack"]:
            raise OptionError(f"given={{{name!r}: ...}} is a site outside the data plate, which all data share; leave it out.")
        value = site_value(sites[name], given[name], f"given[{name!r}]")
        event = tuple(sites[name]["fn"].event_shape)
        if tuple(value.shape) not in (event, (1, *event), (num, *event)):
            raise OptionError(
                f"given[{name!r}] has shape {tuple(value.shape)}; expected {event} for one value, or {(num, *event)} for one "
                "a draw."
            )
        held[name] = value.expand(num, *event)
    return held
