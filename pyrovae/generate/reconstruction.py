"""Draws of the posterior and reconstructions of data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pyro import poutine
from torch import Tensor

from pyrovae.core.inference import device_of, evaluating
from pyrovae.core.pair import Batch, Program, running
from pyrovae.core.trace import Site, run_program, sample_sites, trace_pair
from pyrovae.errors import OptionError
from pyrovae.generate import chunks
from pyrovae.generate.expectation import Expectations, expectation, picture_site

__all__ = ["posterior", "posterior_means", "reconstruct"]


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


def reconstruct(
    model: Program, guide: Program, x: Mapping[str, Tensor] | Tensor, num_samples: int = 1, *, compile: bool = False
) -> Tensor:
    """(1/K) sum_k E[x_b | z_kb], z_kb ~ q(z | x_b): the mean of the posterior predictive, (B, *shape).

    Args:
        model, guide: the two programs.
        x: (B, *shape), or a batch where the programs need more than x.
        num_samples: K.
        compile: as for :func:`sample`.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4, 4), "binary"))
    >>> reconstruct(pair.model, pair.guide, torch.ones(5, 4, 4)).shape
    torch.Size([5, 4, 4])
    """
    if num_samples < 1:
        raise OptionError(f"num_samples is {num_samples}; expected at least 1.")
    batch = _batch(model, guide, x)

    def mean(part: Mapping[str, Tensor]) -> Tensor:
        return _mean_given_latents(model, guide, part, num_samples)

    with running(model, guide), evaluating(model, guide), torch.no_grad():
        return torch.cat([*chunks.map_rows(mean, batch, max(1, chunks.ROWS_PER_PASS // num_samples), compile)])


def _mean_given_latents(model: Program, guide: Program, batch: Mapping[str, Tensor], num_samples: int) -> Tensor:
    total: Tensor | float = 0.0
    for start in range(0, num_samples, chunks.ROWS_PER_PASS):
        sites = trace_pair(
            model, guide, batch, min(chunks.ROWS_PER_PASS, num_samples - start), enumerate_sites=False
        ).model_sites
        total = total + expectation(sites[picture_site(sites)]["fn"]).sum(0)
    return total / num_samples


def posterior_means(guide: Program, batch: Batch) -> tuple[dict[str, Tensor], dict[str, torch.Size]]:
    """Means of the guide's sites, each given the means of those before it, (B, *event); event shapes of the continuous."""
    with Expectations():
        trace = run_program(guide, batch)
    return _values(trace), _continuous(sample_sites(trace))


def _values(trace: poutine.Trace) -> dict[str, Tensor]:
    return {name: site["value"] for name, site in sample_sites(trace).items() if not site["is_observed"]}


def _continuous(sites: Mapping[str, Site]) -> dict[str, torch.Size]:
    """Event shapes of the latent sites that can be moved: labels cannot."""
    latent = {name: site["fn"] for name, site in sites.items() if not site["is_observed"]}
    return {name: fn.event_shape for name, fn in latent.items() if not fn.support.is_discrete}


def _batch(model: Program, guide: Program, x: Mapping[str, Tensor] | Tensor) -> Batch:
    """A batch on the pair's device, of a tensor x or of a batch."""
    device = device_of(model, guide)
    return {key: value.to(device) for key, value in (x if isinstance(x, Mapping) else {"x": x}).items()}
