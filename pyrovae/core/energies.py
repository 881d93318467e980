"""Observed sites whose distribution was told not to look at its values, and is given others than it can draw."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pyro
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyrovae.core.program import Program, describe
from pyrovae.core.run import energies, run_program, set_energies
from pyrovae.core.sites import Site, sample_sites
from pyrovae.distributions.density import MaskedPart
from pyrovae.distributions.energies import between

__all__ = ["note_energies"]

log = logging.getLogger("pyrovae")


def note_energies(model: Program, batch: Mapping[str, Tensor]) -> None:
    """Take for energies the sites that the batch gives values between those of a support, under ``validate_args=False``.

    Grey pixels under a Bernoulli, as Pyro's examples have them: its formula has no normalizer there. Such a pair trains, which
    a warning says once, and has no log p(x). What is not told so, or lies beyond, is refused elsewhere.
    """
    before = energies(model)
    set_energies(model, frozenset())
    try:
        with torch.no_grad(), torch.random.fork_rng(), pyro.validation_enabled(True):
            sites = sample_sites(run_program(model, batch))
    except Exception:  # by arguments of a distribution that are none, which the checks name
        return
    found = frozenset(name for name, site in sites.items() if site["is_observed"] and _is_energy(site))
    set_energies(model, found)
    if found - before:
        name = min(found - before)
        log.warning(
            "observed %r of %s is given values between those that its %s can draw: with validate_args=False that trains an "
            "energy, and no figure of it is called log p(x); binarize the data for one.",
            name,
            describe(model),
            type(_innermost(sites[name]["fn"])).__name__,
        )


def _innermost(fn: TorchDistribution) -> TorchDistribution:
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


def _looks_at_values(fn: TorchDistribution) -> bool:
    """Whether a distribution refuses values; a masked one says so itself, for it looks where it scores."""
    while hasattr(fn, "base_dist") and not isinstance(fn, MaskedPart):
        fn = fn.base_dist
    return bool(fn._validate_args)


def _is_energy(site: Site) -> bool:
    fn, value = _innermost(site["fn"]), site["value"]
    support: Any = fn.support
    wider = between(support)
    if _looks_at_values(site["fn"]) or wider is None or isinstance(fn, torch.distributions.Categorical):
        return False
    return not bool(support.check(value).all()) and bool(wider.check(value).all())
