"""A run on one page: settings, figures and pictures, in a single HTML file."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from pyrovae import plots
from pyrovae.calls import public
from pyrovae.core.pair import open_run
from pyrovae.errors import OptionError, RunError
from pyrovae.files import file_name, write_whole
from pyrovae.report.drawings import caption, figures_of
from pyrovae.report.texts import texts_of

__all__ = ["pictures", "write_report"]

IN_NATS = ("elbo", "evidence", "kl", "rate", "distortion", "bound")

NAMES = {"elbo": "ELBO", "log_evidence": "log p(x)", "kl": "KL", "kl_per_dim": "KL per dimension"}


@public()
def write_report(
    run: Any, path: str | os.PathLike[str] | None = None, evaluation: Any = None, disentanglement: Any = None
) -> Path:
    """One self-contained HTML page: evaluation, text, pictures (inline PNGs) and settings, without scripts or links.

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
        {"name": name, "caption": caption(name), "content": base64.b64encode(picture.read_bytes()).decode()}
        for name, picture in pictures(run, path.parent).items()
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html.jinja").render(
        title=_title(run),
        figures=_readable(figures),
        metrics=metrics,
        settings=_settings(run.config),
        texts=texts_of(run),
        pictures=shown,
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
    return {name: plots.save(figure, target / f"{file_name(name)}.png") for name, figure in figures_of(run)}


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
