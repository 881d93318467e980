"""Sample sites of a Pyro program: which there are, their scores and their scale, and how a misplaced one is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions.torch_distribution import ExpandedDistribution
from pyro.distributions.util import is_identically_zero
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from pyrovae.distributions.density import unmasked
from pyrovae.errors import ContractError

__all__ = [
    "ScaleOf",
    "Scores",
    "Site",
    "auxiliary_sites",
    "common_scale",
    "family_name",
    "is_auxiliary",
    "is_deterministic",
    "is_reparameterized",
    "mask_scores",
    "placement_message",
    "sample_sites",
    "site_masks",
    "unobserved_parts",
    "without_mask",
]

PARTICLES = "_particles"  # name of the plate of K particles, which no program's own plate has
Site = dict[str, Any]


def sample_sites(trace: poutine.Trace) -> dict[str, Site]:
    """The sample sites of a trace by name, without plates, what ``pyro.deterministic`` notes, and auxiliary sites."""
    nodes: dict[str, Any] = trace.nodes
    apart = (site_is_subsample, is_deterministic, is_auxiliary)
    return {n: s for n, s in nodes.items() if s["type"] == "sample" and not any(is_apart(s) for is_apart in apart)}


def auxiliary_sites(trace: poutine.Trace) -> dict[str, Site]:
    """The sites of a trace that are no part of the density, by name."""
    nodes: dict[str, Any] = trace.nodes
    return {n: s for n, s in nodes.items() if s["type"] == "sample" and is_auxiliary(s)}


def is_auxiliary(site: Site) -> bool:
    """Whether a site, of ``infer={"auxiliary": True}``, only scores what others model: it enters no density and no draw."""
    return bool(site["infer"].get("auxiliary"))


def is_deterministic(site: Site) -> bool:
    """Whether a site only notes a value, by ``pyro.deterministic``."""
    return bool(site["infer"].get("_deterministic"))


class Scores(Mapping[str, Tensor]):
    """log densities of sites by name, each computed when it is first asked for: what nobody asks for needs no density."""

    def __init__(self, names: Iterable[str], score: Callable[[str], Tensor]) -> None:
        self._names, self._score = list(names), score
        self._known: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._known:
            if name not in self._names:
                raise KeyError(name)
            self._known[name] = self._score(name)
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names  # Mapping's own would score the site

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class ScaleOf(Messenger):
    """Within it, programs run; :attr:`value` is then the one scale of their sites."""

    def __init__(self) -> None:
        super().__init__()
        self.scales: list[tuple[str, float | Tensor]] = []

    def _pyro_post_sample(self, msg: Any) -> None:
        if not (site_is_subsample(msg) or is_deterministic(msg)):
            self.scales.append((msg["name"], msg["scale"]))

    @property
    def value(self) -> float | Tensor:
        """The scale; errors when sites differ."""
        return common_scale(self.scales)


def unobserved_parts(sites: Mapping[str, Site]) -> set[str]:
    """Latent sites that ``pyro.sample(..., obs_mask=...)`` makes of what is not observed; nothing but the model draws them."""
    ends = {name: f"{name.removesuffix('_unobserved')}_observed" for name in sites if name.endswith("_unobserved")}
    return {name for name, sibling in ends.items() if sibling in sites and not sites[name]["is_observed"]}


def family_name(site: Site) -> str:
    """The name of the distribution that a site draws from, under what reshapes it."""
    fn = site["fn"]
    while isinstance(fn, (torch.distributions.Independent, dist.MaskedDistribution, ExpandedDistribution)):
        fn = fn.base_dist
    return type(fn).__name__


def common_scale(scales: Iterable[tuple[str, float | Tensor]]) -> float | Tensor:
    """The one scale of sites, given by name; errors when they differ."""
    values = [(name, _common(name, scale)) for name, scale in scales]
    first = values[0][1] if values else 1.0
    for name, value in values:
        if value is not first and value != first:
            raise ContractError(
                f"site {name!r} is scaled by {float(value):g}, other sites by {float(first):g}: beta and warmup belong "
                "to the objective (fit(..., kl_warmup=...)), not into poutine.scale."
            )
    return first


def _common(name: str, scale: float | Tensor) -> float | Tensor:
    """A site's scale as one number."""
    if not isinstance(scale, Tensor) or scale.numel() == 1:
        return scale
    if not bool((scale == scale.flatten()[0]).all()):
        raise ContractError(f"site {name!r} scales its data unequally; weight data with a mask, or outside.")
    return scale.flatten()[0]


def is_reparameterized(site: Site) -> bool:
    """Whether the draw of a site is differentiable with respect to its parameters."""
    return bool(site["fn"].has_rsample)


def mask_scores(site: Site, scores: Tensor) -> Tensor:
    """Scores with the site's ``poutine.mask`` applied, its scale not."""
    mask = site["mask"]
    if mask is None or mask is True:
        return scores
    if is_identically_zero(scores):
        return scores
    mask = torch.as_tensor(mask, device=scores.device)
    return torch.where(mask, scores, scores.new_zeros(()))


def without_mask(site: Site) -> Site:
    """The site as if no mask were on it."""
    return {**site, "fn": unmasked(site["fn"]), "mask": None}


def site_masks(site: Site) -> list[Tensor]:
    """The masks on a site, poutine's and those of its distribution, each of so many dimensions that it lies on the value."""
    fn, device, found = site["fn"], site["value"].device, []
    if site["mask"] is not None and site["mask"] is not True:
        mask = torch.as_tensor(site["mask"], device=device)
        found.append(mask.reshape(*mask.shape, *[1] * fn.event_dim))
    while isinstance(fn, (dist.MaskedDistribution, torch.distributions.Independent)):
        if isinstance(fn, dist.MaskedDistribution) and fn._mask is not True:
            mask = torch.as_tensor(fn._mask, device=device)
            found.append(mask.reshape(*mask.shape, *[1] * fn.base_dist.event_dim))
        fn = fn.base_dist
    return [mask.bool() for mask in found]


def placement_message(program: str, site: Site, came: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """The message for a site that does not score as (K, B)."""
    name, fn = site["name"], site["fn"]
    if not any(frame.dim == -1 for frame in site["cond_indep_stack"]):
        return (
            f"site {name!r} of the {program} lies outside the data plate: it scores as {came}, expected (K, B) = "
            f'{expected}; move it under `with pyro.plate("data", x.shape[0]):` (a latent that all data share has no score '
            "per datum)."
        )
    return (
        f"site {name!r} of the {program} scores as {came}, expected (K, B) = {expected}: its distribution has batch "
        f"shape {tuple(fn.batch_shape)} and event shape {tuple(fn.event_shape)}, its value {tuple(site['value'].shape)}; "
        "declare the dimensions of one datum with .to_event(n)."
    )
