"""A run on one page: settings, figures and pictures, in a single HTML file."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import torch
from torch import Tensor

from pyrovae import generate, plots
from pyrovae.calls import public
from pyrovae.core.inference import device_of, private_random
from pyrovae.core.pair import Pair, open_run
from pyrovae.core.program import Batch
from pyrovae.data import Split
from pyrovae.errors import ContractError, OptionError, RunError
from pyrovae.evaluation import latents
from pyrovae.files import file_name, write_whole
from pyrovae.generate import latent_space
from pyrovae.generate.reconstruction import shown_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["pictures", "write_report"]

SEED = 0  # of everything drawn for a report
NUM_SAMPLES, NUM_RECONSTRUCTIONS, NUM_POINTS = 64, 20, 2000
NUM_STYLES, NUM_COMPLETED, NUM_COMPLETIONS = 10, 8, 6
IN_NATS = ("elbo", "evidence", "kl", "rate", "distortion", "bound")

NAMES = {"elbo": "ELBO", "log_evidence": "log p(x)", "kl": "KL", "kl_per_dim": "KL per dimension"}
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
}


@public()
def write_report(
    run: Any, path: str | os.PathLike[str] | None = None, evaluation: Any = None, disentanglement: Any = None
) -> Path:
    """One self-contained HTML page: evaluation, pictures (inline PNGs) and settings, without scripts or links.

    The pictures are also written beside it, as by :func:`pictures`.

    Args:
        run: a Run, or a run's folder.
        path: of the file; by default ``report.html`` in the run's folder.
        evaluation: an object with ``to_json()``, or a dict, of figures to show.
        disentanglement: what ``disentanglement_scores`` returns, or its JSON, to show as a table.

    Returns:
        The path.

    Raises:
        RunError: the folder does not exist.
        OptionError: there is no path and the run has no folder.
    """
    run = _run(run)
    if path is None and run.path is None:
        raise OptionError("the run was not written to a folder, so the report has no place; give path=.")
    path = Path(path) if path is not None else Path(run.path) / "report.html"
    if not path.parent.is_dir():
        raise RunError(f"folder {path.parent} does not exist; make it before writing {path.name} there.")
    figures, metrics = _json("evaluation", evaluation, "evaluate"), {}
    if disentanglement is not None:
        metrics = _json("disentanglement", disentanglement, "disentanglement_scores").get("scores")
        if not isinstance(metrics, Mapping):
            raise OptionError("disentanglement has no scores; expected what disentanglement_scores returns, or its JSON.")
    shown = [
        {"name": name, "caption": _caption(name), "content": base64.b64encode(picture.read_bytes()).decode()}
        for name, picture in pictures(run, path.parent).items()
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html.jinja").render(
        title=_title(run), figures=_readable(figures), metrics=metrics, settings=_settings(run.config), pictures=shown
    )
    write_whole(path, page.encode())
    return path


def _json(name: str, told: Any, verb: str) -> Mapping[str, Any]:
    """The JSON of what a verb returned, or of what was read again; empty where nothing is told."""
    if told is not None and not (isinstance(told, Mapping) or hasattr(told, "to_json")):
        raise OptionError(f"{name} is {told!r}; expected what pyrovae.{verb} returns, or its JSON.")
    found: Mapping[str, Any] = {} if told is None else told if isinstance(told, Mapping) else told.to_json()
    return found


def _run(source: Any) -> Any:
    """A Run, or that of a folder."""
    run = open_run(source, with_data=True)
    if not hasattr(run, "history"):
        raise OptionError(f"a report is of a Run or a run's folder; got {type(run).__name__}.")
    return run


def pictures(run: Any, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write every picture that applies to a run to ``folder/pictures/<name>.png``; their paths by name.

    Raises:
        RunError: ``folder`` does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"folder {folder} does not exist; make it before saving pictures there.")
    run = _run(run)
    if run.data is None:
        raise OptionError("the run was trained on data from memory, which its pictures show; load it with data=... (--data).")
    target = folder / "pictures"
    target.mkdir(exist_ok=True)
    return {name: plots.save(figure, target / f"{file_name(name)}.png") for name, figure in _figures(run)}


# ------------------------------------------------------------------------------------------------ pictures
def _caption(name: str) -> str:
    """The caption of a picture, ``<kind>`` or ``<kind>_<site>``."""
    kind = next(kind for kind in CAPTIONS if name.startswith(kind))
    site = name.removeprefix(kind).removeprefix("_")
    return f"Site {site}. {CAPTIONS[kind]}" if site else CAPTIONS[kind]


def _figures(run: Any) -> list[tuple[str, Figure]]:
    """Name and figure of what applies to the pair; drawn with random numbers of their own."""
    figures = []
    with private_random(SEED, device_of(run.model, run.guide)):
        for name, draw in _drawings(run):
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


# ------------------------------------------------------------------------------------------------ tables
def _title(run: Any) -> str:
    recipe = getattr(run.pair, "recipe", None) or {}
    return f"{recipe.get('name', type(run.model).__name__)} on {run.data.spec.name}"


def _settings(config: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections of the configuration with their settings, nested ones by dotted names."""
    loose = {key: value for key, value in config.items() if not isinstance(value, Mapping)}
    sections = {key: value for key, value in config.items() if isinstance(value, Mapping)}
    if loose:
        sections = {"run": loose, **sections}
    return [(name, list(_flat(section))) for name, section in sections.items() if section]


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _readable(figures: Mapping[str, Any], prefix: str = "", unit: str = "") -> list[tuple[str, str, str]]:
    """(name, value, unit) rows; a figure's standard error joins it."""
    rows = []
    for key, value in figures.items():
        if key.endswith("_stderr") and key.removesuffix("_stderr") in figures:
            continue
        name = prefix + NAMES.get(key, key.replace("_", " "))
        own = "nats per datum" if any(word in key for word in IN_NATS) else unit
        if isinstance(value, Mapping):
            rows += _readable(value, f"{name}, ", own)
            continue
        error = figures.get(f"{key}_stderr")
        text = _text(value) if error is None else f"{_text(value)} ± {_text(error)}"
        rows.append((name, text, "" if value is None or isinstance(value, (str, bool)) else own))
    return rows


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(f"{v:.3g}" if isinstance(v, float) else _text(v) for v in value)
    return str(value)
