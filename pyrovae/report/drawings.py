"""The pictures of a report: what applies to a run, each with its caption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyrovae import generate, plots
from pyrovae.core.inference import device_of, private_random
from pyrovae.core.pair import Pair
from pyrovae.core.program import Batch
from pyrovae.data import Split
from pyrovae.errors import ContractError, OptionError
from pyrovae.evaluation import latents
from pyrovae.evaluation.codes import code_use
from pyrovae.generate import latent_space
from pyrovae.generate.reconstruction import shown_values
from pyrovae.report.texts import has_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["caption", "figures_of"]

SEED = 0  # of everything drawn for a report
NUM_SAMPLES, NUM_RECONSTRUCTIONS, NUM_POINTS = 64, 20, 2000
NUM_STYLES, NUM_COMPLETED, NUM_COMPLETIONS = 10, 8, 6
PICTURES_OF_X = ("samples", "class_samples", "analogies", "completions", "reconstructions", "traversals", "manifold")
CAPTIONS = {
    "learning_curves": "What the objective reports, at each epoch.",
    "samples": "E[x | z] for draws z of the prior.",
    "class_samples": "E[x | y, z] for each class y, a column one style z of the prior.",
    "analogies": "Data, and E[x | y, z] for each class y with the style z that the guide infers.",
    "completions": "What is known of data, completions of it, and the data.",
    "reconstructions": "Data, and the mean of p(x | z) over 10 draws of q(z | x).",
    "traversals": "One latent dimension varied at a time, the others at the posterior mean of one datum.",
    "manifold": "E[x | z] over quantiles of the prior.",
    "latent_scatter": "Posterior means of the data.",
    "posterior_histograms": "Posterior means and scales, over data and dimensions.",
    "kl_bars": "KL of the guide from the prior for each latent dimension; inactive ones have a posterior mean that "
    "hardly varies with x.",
    "code_bars": "How often each code is drawn for the data.",
}


def caption(name: str) -> str:
    """The caption of a picture, ``<kind>`` or ``<kind>_<site>``."""
    kind = next(kind for kind in CAPTIONS if name.startswith(kind))
    site = name.removeprefix(kind).removeprefix("_")
    return f"Site {site}. {CAPTIONS[kind]}" if site else CAPTIONS[kind]


def figures_of(run: Any) -> list[tuple[str, Figure]]:
    """Name and figure of what applies to the pair; drawn with random numbers of their own."""
    figures, text = [], has_text(run.data.spec)
    with private_random(SEED, device_of(run.model, run.guide)):
        for name, draw in _drawings(run):
            if text and name.startswith(PICTURES_OF_X):
                continue
            # what does not apply is left out: no 2-d latent, no history, ...
            with suppress(ContractError, OptionError):
                figures.append((name, draw()))
    return figures


def _drawings(run: Any) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Name and figure, not drawn yet, of all that a page may show."""
    pair, batch = run.pair, _rows(run)
    some = {key: value[:NUM_RECONSTRUCTIONS] for key, value in batch.items()}
    one = {key: value[:1] for key, value in batch.items()}
    scale = _scale(run, batch)

    def samples() -> Figure:
        like = {key: value[torch.arange(NUM_SAMPLES) % len(value)] for key, value in batch.items()}
        drawn = generate.sample(pair, NUM_SAMPLES, like=like, mean=True)
        return plots.image_grid(drawn["x" if "x" in drawn else list(drawn)[-1]], **scale)

    def reconstructions() -> Figure:
        return plots.reconstructions(shown_values(pair, some), generate.reconstruct(pair, some, 10), **scale)

    def class_samples() -> Figure:
        grid = generate.class_samples(pair, NUM_STYLES, like=one)
        return plots.image_grid(grid.flatten(0, 1), NUM_STYLES, **scale)

    def inferred_styles() -> Figure:
        few = {key: value[:NUM_STYLES] for key, value in batch.items()}
        return plots.analogies(generate.analogies(pair, few), shown_values(pair, few), **scale)

    def completions() -> Figure:
        few = {key: value[:NUM_COMPLETED] for key, value in batch.items()}
        if "c" in few:
            draws = generate.conditional_samples(pair, few, NUM_COMPLETIONS)
            return plots.completions(few["x"], few["given"], draws, None if few["given"].any() else few["c"], **scale)
        if run.data.spec.roles.get("missing") is None:
            raise OptionError("the data are complete.")
        draws = generate.complete(pair, few, NUM_COMPLETIONS)
        return plots.completions(few["x"], few["mask"], draws, whole=False, **scale)

    yield "learning_curves", lambda: plots.learning_curves(run.history, run.quantity)
    yield "samples", samples
    yield "class_samples", class_samples
    yield "analogies", inferred_styles
    yield "completions", completions
    yield "reconstructions", reconstructions
    yield from _latent_drawings(pair, batch, scale)
    yield from _code_drawings(pair, batch)


def _latent_drawings(pair: Pair, batch: Batch, scale: Mapping[str, float]) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Of each latent site that is a vector: walks through it, its posterior means and scales, the KL of its dimensions."""
    one = {key: value[:1] for key, value in batch.items()}
    try:
        moments = latents.posterior_moments(pair, batch)
        kls = latents.kl_per_dim(pair, batch)
    except ContractError:  # a site without a row for each datum
        return
    vectors = [name for name, site in moments.items() if site.mean.dim() == 2 and name != "y"]
    for site in vectors:
        end = "" if len(vectors) == 1 else f"_{site}"
        mean, spread = moments[site]
        kl, active = kls.get(site), latents.active_units(mean)
        figures: dict[str, Callable[[], Figure]] = {
            "traversals": lambda site=site: plots.traversals(
                generate.traverse(pair, one, site=site), latent_space.traversed_values(pair, one, site), **scale
            ),
            "manifold": lambda site=site: plots.manifold(generate.manifold(pair, site=site, like=one), **scale),
            "latent_scatter": lambda mean=mean: plots.latent_scatter(mean, batch.get("y")),
        }
        if kl is not None:  # else a point, or without a prior
            figures["posterior_histograms"] = lambda mean=mean, spread=spread: plots.posterior_histograms(mean, spread)
        if kl is not None and kl.per_dim is not None:
            figures["kl_bars"] = lambda kl=kl, active=active: plots.kl_bars(kl.per_dim, active)
        for name, draw in figures.items():
            yield name + end, draw


def _code_drawings(pair: Pair, batch: Batch) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Of each discrete latent site: how often its codes are used."""
    with suppress(ContractError):  # there is none
        found = {name: counts for name, counts in code_use(pair, batch).items() if name != "y"}
        for site, counts in found.items():
            end = "" if len(found) == 1 else f"_{site}"
            yield f"code_bars{end}", lambda counts=counts: plots.code_bars(counts)


def _rows(run: Any) -> Batch:
    """Up to 2,000 random rows (data are often sorted) of the test data, or where there are none of valid or train."""
    part = next(p for p in (run.data.test, run.data.valid, run.data.train) if p is not None)
    if isinstance(part, Split):
        chosen = torch.randperm(len(part), generator=torch.Generator().manual_seed(SEED))[:NUM_POINTS]
        batch = part[chosen]
    else:
        batch = next(iter(part.batches(NUM_POINTS)))
    return {key: value.cpu() for key, value in batch.items()}


def _scale(run: Any, batch: Batch) -> dict[str, float]:
    """The values shown as black and white: 0 and 1, or the data's range where they are real numbers."""
    x: Tensor | None = batch.get("x")
    if run.data.spec.kind != "real" or x is None:
        return {"vmin": 0.0, "vmax": 1.0}
    low, high = float(x.min()), float(x.max())
    return {"vmin": low, "vmax": high if high > low else low + 1.0}
