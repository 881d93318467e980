"""Which latent sites the score of each site depends on, followed through every operation of the programs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pyro.ops.provenance import get_provenance, track_provenance
from torch import Tensor

from pyrovae.core.run import replay_trace, run_program
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import PairTrace

__all__ = ["downstream", "score_dependence"]

Names = Mapping[str, frozenset[str]]


@torch.no_grad()
def score_dependence(traced: PairTrace) -> tuple[Names, Names]:
    """Names of the latents that log p(site | parents), and log q(site | parents, x), are functions of.

    Where a program has an operation that cannot be followed, or sites are enumerated, all latents for every site, which is
    always right.

    >>> from pyrovae import objectives, pairs
    >>> from pyrovae.data import DataSpec
    >>> pair = pairs.sbn(DataSpec("toy", (4,), "binary"), latent_dim=2)
    >>> given = objectives.Given(pair.model, pair.guide, [{"x": torch.zeros(3, 4)}])
    >>> model, guide = score_dependence(objectives.NVIL().trace(given))
    >>> sorted(model["x"]), sorted(model["z2"]), sorted(guide["z2"])
    (['z1'], ['z2'], ['z1', 'z2'])
    """
    everything = frozenset(traced.latents)
    unknown = dict.fromkeys(traced.model_sites, everything), dict.fromkeys(traced.guide_sites, everything)
    if traced.rerun is None or traced.program is None or traced.enumerated or traced.summed_out:
        return unknown
    latents = {name: track_provenance(value.detach(), frozenset([name])) for name, value in traced.latents.items()}
    try:
        guide = sample_sites(traced.rerun(latents))
        replay = replay_trace(traced.guide, latents)
        model = sample_sites(run_program(traced.program, traced.batch, traced.shape[0], replay=replay))
        found = [{name: site["fn"].log_prob(site["value"]) for name, site in sites.items()} for sites in (model, guide)]
    except (TypeError, RuntimeError, NotImplementedError, AttributeError):
        return unknown
    of_model, of_guide = ({name: _names(score) for name, score in scores.items()} for scores in found)
    return of_model, {name: of_guide[name] for name in traced.guide_sites}


def _names(score: Tensor) -> frozenset[str]:
    names: frozenset[str] = get_provenance(score)
    return names


def downstream(name: str, guide: Names) -> frozenset[str]:
    """A site of the guide, and all whose draws depend on its draw, directly or through others."""
    found = frozenset([name])
    for other, reads in guide.items():  # in the order of drawing, so that one pass does
        if reads & found:
            found |= {other}
    return found
