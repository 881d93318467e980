"""Draws of the posterior, codes and reconstructions of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.keys import drawn_keys
from pyrovae.core.layout import settle_particles
from pyrovae.core.pair import Pair, PairLike, as_pair
from pyrovae.core.program import Batch, Program, batch_size
from pyrovae.core.sites import Site, sample_sites
from pyrovae.core.steps import StepModel
from pyrovae.core.trace import run_program, trace_pair
from pyrovae.errors import OptionError
from pyrovae.generate import chunks
from pyrovae.generate.expectation import Expectations, linear_means, picture_site, values_of
from pyrovae.generate.given import example_sites, refuse_own_reading
from pyrovae.generate.whole_keys import whole_keys

__all__ = ["encode", "posterior", "posterior_means", "reconstruct"]


@public()
def posterior(pair: PairLike, data: Any, num_samples: int = 1) -> dict[str, Tensor]:
    """z_kb ~ q(z | x_b): K draws of each latent site, (K, B, *event).

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: B rows, in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_samples: K.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4,), "real"), latent_dim=2)
    >>> posterior(pair, torch.zeros(5, 4), num_samples=3)["z"].shape
    torch.Size([3, 5, 2])
    """
    pair = as_pair(pair)
    require_samples(num_samples)
    batch = as_batch(pair, data)
    with inference(pair):
        settle_particles(pair.model, pair.guide, batch)
        return _values(run_program(pair.guide, batch, num_samples))


@public()
def encode(pair: PairLike, data: Any) -> dict[str, Tensor]:
    """E[z | x_b] under q of each latent site, (B, *event); a site with parents is at its mean given theirs.

    The mean is that of the guide's distribution in closed form where it has one, else of 64 draws. A one-hot class is its
    most probable value.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: B rows, in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> pair = vae(DataSpec("toy", (4,), "real"), latent_dim=2)
    >>> encode(pair, torch.zeros(5, 4))["z"].shape
    torch.Size([5, 2])
    """
    pair = as_pair(pair)
    batch = as_batch(pair, data)
    with inference(pair):
        parts = [*chunks.map_rows(lambda part: posterior_means(pair.guide, part)[0], batch, chunks.ROWS_PER_PASS, False)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@public()
def reconstruct(pair: PairLike, data: Any, num_samples: int = 1, *, compile: bool = False) -> Tensor:
    """(1/K) sum_k E[x_b | z_kb], z_kb ~ q(z | x_b): the mean of the posterior predictive, (B, *shape).

    Of a pair in steps each x_t is given its latents and the steps before it as they are.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: B rows, in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_samples: K.
        compile: as for :func:`sample`.

    >>> from pyrovae.data import DataSpec
    >>> from pyrovae.pairs import vae
    >>> reconstruct(vae(DataSpec("toy", (4, 4), "binary")), torch.ones(5, 4, 4)).shape
    torch.Size([5, 4, 4])
    """
    pair = as_pair(pair)
    require_samples(num_samples)
    with inference(pair):
        return reconstructions(pair, as_batch(pair, data), num_samples, compile)


def reconstructions(pair: Pair, batch: Batch, num_samples: int, compile: bool = False) -> Tensor:
    """:func:`reconstruct` on a batch as it is."""
    settle_particles(pair.model, pair.guide, batch)
    refuse_own_reading(pair.model, batch, picture_site(example_sites(pair.model, batch)))

    def mean(part: Mapping[str, Tensor]) -> Tensor:
        return _mean_given_latents(pair, part, num_samples)

    return torch.cat([*chunks.map_rows(mean, batch, max(1, chunks.ROWS_PER_PASS // num_samples), compile)])


def shown_values(pair: Pair, batch: Batch) -> Tensor:
    """The data that the site of pictures observes, which reconstructions are of, (B, *shape)."""
    if "x" in batch and "x" in (source.key for source in drawn_keys(pair.model, batch, given=batch).values()):
        return batch["x"]
    sites = trace_pair(pair.model, pair.guide, batch, 1, enumerate_sites=False).model_sites
    value: Tensor = sites[picture_site(sites)]["value"]
    return value.reshape(batch_size(batch), *sites[picture_site(sites)]["fn"].event_shape)


def require_samples(num_samples: Any) -> None:
    """Refuse a number of draws that is none."""
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise OptionError(f"num_samples is {num_samples!r}; expected a whole number of at least 1.")


def _mean_given_latents(pair: Pair, batch: Mapping[str, Tensor], num_samples: int) -> Tensor:
    totals: dict[str, list[Tensor]] = {}
    sources, shown = drawn_keys(pair.model, batch, given=batch), picture_site(example_sites(pair.model, batch))
    key = sources[shown].key if shown in sources else None
    names = [name for name, source in sources.items() if source.key == key] if isinstance(pair.model, StepModel) else [shown]
    for start in range(0, num_samples, chunks.ROWS_PER_PASS):
        size = min(chunks.ROWS_PER_PASS, num_samples - start)
        sites = trace_pair(pair.model, pair.guide, batch, size, enumerate_sites=False).model_sites
        for name in names:
            means = [mean.sum(0) / num_samples for mean in linear_means(sites[name]["fn"])]
            totals[name] = [a + b for a, b in zip(totals[name], means, strict=True)] if start else means
    values = {name: values_of(sites[name]["fn"], totals[name]) for name in names}
    whole = whole_keys(batch, sources, values) if len(names) > 1 else {}
    return whole[key] if key in whole else values[shown]


def posterior_means(guide: Program, batch: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, torch.Size]]:
    """Means of the guide's sites, each given the means of those before it, (B, *event); event shapes of the continuous."""
    with Expectations():
        trace = run_program(guide, batch)
    return _values(trace), continuous(sample_sites(trace))


def _values(trace: poutine.Trace) -> dict[str, Tensor]:
    return {name: site["value"] for name, site in sample_sites(trace).items() if not site["is_observed"]}


def continuous(sites: Mapping[str, Site]) -> dict[str, torch.Size]:
    """Event shapes of the latent sites that can be moved: labels cannot."""
    latent = {name: site["fn"] for name, site in sites.items() if not site["is_observed"]}
    return {name: fn.event_shape for name, fn in latent.items() if not fn.support.is_discrete}
