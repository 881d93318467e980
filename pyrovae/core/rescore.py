"""A trace of a pair at other values of its latents, all noise as it was; and the moments of a guide's site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyrovae.core.aggregate import base_of
from pyrovae.core.program import Program
from pyrovae.core.run import has_rows, run_program
from pyrovae.core.sites import Site
from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError, nearest

__all__ = ["Moments", "at", "moments"]

LOCATION_SCALE = (dist.Normal, dist.Laplace, dist.StudentT, dist.Cauchy, dist.Gumbel)


class Moments(NamedTuple):
    """Of a guide's site given x, (B, *event) each; the location is where its family puts most mass, or centres it."""

    mean: Tensor
    variance: Tensor
    location: Tensor


def at(traced: PairTrace, guide: Program, latents: Mapping[str, Tensor]) -> PairTrace:
    """The pair's trace with some latents at other values, (K, B, *event), scored anew in both programs.

    Sites of the guide that come after them, and may depend on them, are drawn again from their new distributions by the noise
    that drew them before, z' = loc' + scale' (z - loc) / scale; the model is replayed on all of it. Gradients reach the
    values and, through them, all that depends on them.

    Args:
        traced: of K particles, nothing enumerated.
        guide: the guide that was traced.
        latents: values by site.

    Raises:
        OptionError: a site that the guide does not have.
        ContractError: a later site is of a family whose noise cannot be told from its value, or sites are enumerated.

    References: Tucker et al., REBAR, 2017; Grathwohl et al., Backpropagation through the Void, 2018 (which take them).
    """
    for name in latents:
        if name not in traced.guide_sites:
            raise nearest("latent site", name, traced.guide_sites)
    if traced.enumerated or traced.summed_out or traced.program is None:
        raise ContractError("the trace has enumerated sites, so its latents have no other values; draw them.")
    kept = _SameNoise(traced.guide_sites, latents, bool(has_rows(guide)))
    again = run_program(guide, traced.batch, traced.shape[0], values=kept)
    model = run_program(traced.program, traced.batch, traced.shape[0], replay=again)
    return PairTrace(model, again, traced.shape, traced.rerun, None, None, traced.batch, traced.program)


class _SameNoise(Messenger):
    """Gives the latents that are told, and every other site the value that its old noise has under its new distribution."""

    def __init__(self, sites: Mapping[str, Site], given: Mapping[str, Tensor], rows: bool) -> None:
        super().__init__()
        self.sites, self.given, self.rows = sites, given, rows

    def _pyro_sample(self, msg: Any) -> None:
        name = msg["name"]
        if msg["is_observed"] or name not in self.sites:
            return
        if name in self.given:
            value = self.given[name]
            msg["value"] = value.flatten(0, 1) if self.rows else value
        else:
            drawn = noise(name, self.sites[name]["fn"], self.sites[name]["value"])
            msg["value"] = drawn_by(msg["fn"], drawn.flatten(0, 1) if self.rows else drawn)
        msg["done"] = True


def noise(name: str, fn: TorchDistribution, value: Tensor) -> Tensor:
    """What drew a value: the standardized draw of a location and scale, the quantile of a uniform, zeros of a point.

    >>> noise("z", dist.Normal(1.0, 2.0), Tensor([5.0]))
    tensor([2.])
    """
    base = base_of(fn)
    if isinstance(base, LOCATION_SCALE):
        return (value - base.loc) / base.scale
    if isinstance(base, dist.LogNormal):
        return (value.log() - base.loc) / base.scale
    if isinstance(base, dist.Uniform):
        return (value - base.low) / (base.high - base.low)
    if isinstance(base, dist.Delta):
        return torch.zeros_like(value)
    raise ContractError(
        f"site {name!r} ({type(base).__name__}) is not given, and its noise cannot be told from its draw; give its value, too."
    )


def drawn_by(fn: TorchDistribution, drawn: Tensor) -> Tensor:
    """The value that the noise of a draw has under a distribution, of the family that it was drawn from."""
    base = base_of(fn)
    value: Tensor
    if isinstance(base, dist.Delta):
        value = base.v + drawn
        return value
    if isinstance(base, dist.Uniform):
        value = base.low + (base.high - base.low) * drawn
        return value
    value = base.loc + base.scale * drawn
    return value.exp() if isinstance(base, dist.LogNormal) else value


def moments(traced: PairTrace, name: str) -> Moments:
    """Mean, variance and location of a guide's site given x, (B, *event), differentiable.

    Raises:
        OptionError: no such site.
        ContractError: its family has no mean or variance in closed form.
    """
    if name not in traced.guide_sites:
        raise nearest("latent site", name, traced.guide_sites)
    site = traced.guide_sites[name]
    fn, shape = site["fn"], (*traced.shape, *site["value"].shape[2:])
    try:
        mean, variance = fn.mean.expand(shape), fn.variance.expand(shape)
    except (NotImplementedError, AttributeError):
        raise ContractError(
            f"site {name!r} of the guide ({type(base_of(fn)).__name__}) has no mean and variance in closed form; estimate "
            "them from draws, with num_particles above 1."
        ) from None
    try:
        location = fn.mode.expand(shape)
    except (NotImplementedError, AttributeError):
        location = mean
    return Moments(mean[0], variance[0], location[0])
