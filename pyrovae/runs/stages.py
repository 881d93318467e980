"""Training in stages: first the pairs that a pair is built on, one after the other, then the pair itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from pyrovae.calls import public
from pyrovae.core.inference import private_random
from pyrovae.core.pair import Pair, PairLike, as_pair, set_trainable
from pyrovae.data import Data, DataSpec, as_data
from pyrovae.errors import ContractError, OptionError, RunError
from pyrovae.files import read_json
from pyrovae.runs.folders import resume
from pyrovae.train import FitSettings, Run, fit
from pyrovae.train.run import CHECKPOINT, CONFIG

__all__ = ["fit_stages", "refuse_other"]


@public()
def fit_stages(
    builder: Callable[[DataSpec], Pair] | PairLike,
    data: Any,
    *,
    out: str | os.PathLike[str] | None = None,
    stage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Train each of ``pair.stages``, then the pair, in which their parameters stand still; every stage is a ``fit``.

    Stage i is written to ``<out>-stage-<i>``, a run like any other. One that is there already is resumed to its end, so
    that the same call continues what was interrupted; one of other options, or other data, is refused.

    Args:
        builder: a function of the data's description that returns a Pair, such as :func:`pyrovae.pairs.m1_m2`, its first
            parameters drawn by ``seed``; or the pair itself. Without stages this is :func:`~pyrovae.fit`.
        data: as for ``fit``.
        out: new folder of the last run.
        stage_options: options of ``fit`` for the stages, in place of the pair's own.
        options: options of ``fit`` for the pair, and but for the objective and callbacks for its stages.

    Returns:
        The last run: of the pair, or of a stage that a signal ended.

    Raises:
        RunError: a stage's folder holds a run of another pair, of other options or of other data.
    """
    data = as_data(data)
    if callable(builder) and not isinstance(builder, nn.Module):
        with private_random(options.get("seed", 0)):
            builder = builder(data.spec)
    elif not isinstance(builder, (nn.Module, tuple, Pair, Run, str, os.PathLike)):
        raise ContractError(
            f"builder is {builder!r}; expected a pair, or a function of the data's description such as pyrovae.pairs.vae."
        )
    pair = as_pair(builder)
    if stage_options and not pair.stages:
        raise OptionError(f"stage_options is {dict(stage_options)!r}, and the pair has no stages; leave it out.")
    shared = {key: value for key, value in options.items() if key not in ("objective", "callbacks")}
    shared |= dict(stage_options or {})
    for number, stage in enumerate(pair.stages, 1):
        folder = None if out is None else Path(f"{os.fspath(out)}-stage-{number}")
        set_trainable(stage, True)
        try:
            if folder is not None and (folder / CHECKPOINT).exists():
                refuse_other(folder, stage, data, shared)
                again = {key: shared[key] for key in ("callbacks", "progress") if key in shared}
                run = resume(folder, pair=stage, data=data, **again)
            else:
                run = fit(stage, data, out=folder, **shared)
        finally:
            set_trainable(stage, False)
        if run.unfinished:
            return run
    return fit(pair, data, out=out, **options)


def refuse_other(folder: Path, stage: Pair, data: Data, options: Mapping[str, Any], what: str = "stage") -> None:
    """RunError unless the run that a folder holds is what would be trained there."""
    config = read_json(folder / CONFIG)
    saved = config.get("fit", {})
    named = {each.name for each in fields(FitSettings)}
    asked = FitSettings(**{name: value for name, value in options.items() if name in named}).to_json()
    found = [
        (name, saved[name], value)
        for name, value in asked.items()
        if name not in ("objective", "device", "callbacks") and name in saved and saved[name] != value
    ]
    if stage.recipe is not None and config.get("pair", {}).get("options") != dict(stage.recipe).get("options"):
        found.append(("the pair's options", config.get("pair", {}).get("options"), dict(stage.recipe).get("options")))
    if config.get("data", {}).get("fingerprint") != data.fingerprint():
        raise RunError(f"{folder} is a {what} trained on other data (fingerprints differ); give another out, or remove it.")
    if found:
        name, was, now = found[0]
        raise RunError(f"{folder} is a {what} trained with {name} {was!r}, not {now!r}; give another out, or remove it.")
