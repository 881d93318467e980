"""Ancestral draws of any pair."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pyro import poutine
from torch import Tensor

from pyrovae.core.inference import evaluating
from pyrovae.core.pair import Batch, Program, describe, inputs, running, template
from pyrovae.core.trace import Site, run_program, sample_sites
from pyrovae.errors import ContractError, OptionError
from pyrovae.generate import chunks
from pyrovae.generate.expectation import expectation

__all__ = ["sample"]


def sample(
    model: Program, n: int, like: Mapping[str, Tensor] | None = None, mean: bool = False, *, compile: bool = False
) -> dict[str, Tensor]:
    """x, z ~ p(x, z): n ancestral draws of every sample site, (n, *event), at most 5,000 in one pass.

    Args:
        model: the generative program.
        n: how many.
        like: entries of the batch, n rows or one: covariates (``lengths``, ...) keep their values, an observed site
            takes its shape only. Not needed by a model that was trained and has no covariates.
        mean: give E[x | z] in place of a draw at each observed site, as pictures usually do.
        compile: compile a pass, which takes some seconds and pays for millions of draws or large networks.

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
    sites: dict[str, Site] = {}

    def draw(part: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        try:
            with poutine.uncondition():
                sites.update(sample_sites(run_program(model, part)))
        except ContractError as error:  # of a model without a prior; Pyro adds a table of shapes
            raise ContractError(str(error).partition("\n")[0]) from None
        return tuple(
            expectation(site["fn"]) if mean and site["infer"].get("was_observed") else site["value"] for site in sites.values()
        )

    with running(model), evaluating(model), torch.no_grad():
        with torch.random.fork_rng():
            draw({key: value[:1] for key, value in batch.items()})
        shared = any(not site["cond_indep_stack"] for site in sites.values())  # by all n: one pass
        parts = [*chunks.map_rows(draw, batch, n if shared else chunks.ROWS_PER_PASS, compile)]
    _refuse_unknown(model, batch, set(sites) | set(like or {}))
    return dict(zip(sites, parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True)), strict=True))


def _refuse_unknown(model: Program, batch: Batch, known: set[str]) -> None:
    unknown = sorted(inputs(model, batch).keys() - known)
    if unknown:
        raise ContractError(
            f"{describe(model)} reads {unknown[0]!r}, whose values it does not draw here; give "
            f"like={{{unknown[0]!r}: a tensor of one row, or one for each draw}}."
        )
