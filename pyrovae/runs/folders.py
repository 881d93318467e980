"""Read runs back: their pairs are rebuilt by recipe, never by executing anything that lies in the folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pyrovae import data as data_sets
from pyrovae import objectives, pairs
from pyrovae.calls import public
from pyrovae.core.admission import to_pair
from pyrovae.core.alone import alone
from pyrovae.core.inference import inference, private_random
from pyrovae.core.pair import Pair, PairLike, as_pair, remember_spec, set_folder_opener
from pyrovae.core.parameters import adopt
from pyrovae.core.program import modules, remember
from pyrovae.core.tensors import load_tensors
from pyrovae.core.trace import trace_pair
from pyrovae.data import Data, DataSpec, as_data
from pyrovae.effects import observed_part
from pyrovae.errors import DataError, OptionError, PyrovaeError, RunError, nearest
from pyrovae.files import clear_temporary, locked, read_json, write_json
from pyrovae.runs.user_file import rebuild, warn_of_change
from pyrovae.train.callbacks import Callback
from pyrovae.train.checkpoints import read_checkpoint
from pyrovae.train.compilation import compile_if_worthwhile
from pyrovae.train.early_stopping import EarlyStopping
from pyrovae.train.fitting import describe_objective, prepare, resolve_device
from pyrovae.train.loop import Loop
from pyrovae.train.processes import Processes
from pyrovae.train.run import CHECKPOINT, CONFIG, METRICS, Run
from pyrovae.train.settings import FitSettings
from pyrovae.train.training import Training

__all__ = ["load", "resume"]

log = logging.getLogger("pyrovae")
OBJECTS = ("objective", "optimizer", "optimizers", "scheduler", "schedule")  # which a run may be given as such


@public()
@alone()
def load(
    path: str | os.PathLike[str],
    *,
    pair: PairLike | None = None,
    data: Any = None,
    weights: str | None = None,
    device: str = "cpu",
    with_data: bool = True,
) -> Run:
    """The run of a folder, with its pair rebuilt, its trained parameters and its data.

    Args:
        path: the run folder.
        pair: a pair of the same make, where the run's pair is the user's own: needed for one that was made in Python, or in a
            file that has changed. A file that the run was trained from (``pyrovae train FILE.py:FUNCTION``) is run again
            only if this user trained with it, on this machine and as it is now; nothing in the folder is ever executed.
        data: the data, needed for what uses them when the run's came from memory.
        weights: "best" or "last"; by default "best" for runs with early stopping, else "last".
        device: where to put the parameters.
        with_data: whether to load the data.

    Raises:
        RunError: no run folder, a missing, corrupt or unfitting checkpoint.
    """
    if not isinstance(path, str | os.PathLike):
        raise RunError(f"load and resume take a run's folder, such as 'runs/vae'; got {type(path).__name__}.")
    folder = Path(path)
    config = read_json(folder / CONFIG)
    try:
        spec = DataSpec.from_json(config["data"]["spec"])
        saved, recipe, source = config["fit"], config["pair"], config["data"]["source"]
        settings, recipe = FitSettings.from_json(saved), dict(recipe)
    except PyrovaeError:
        raise
    except KeyError as error:
        raise RunError(f"{folder / CONFIG} is no configuration of a run: it lacks {error}.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{folder / CONFIG} is no configuration of a run: {error}.") from error
    with private_random(0):  # building draws first parameters, which nobody needs
        own = _rebuilt(recipe, spec, folder) if pair is None else as_pair(pair)
        for module in modules(own.model, own.guide) if pair is None and config.get("dtype") == "float64" else ():
            module.double()
        pair = own
    warn_of_change(pair, recipe, folder)
    if "bound" not in config:  # of an earlier version, which did not note on which side of log p(x) its objective lies
        config["bound"] = _side(saved.get("objective"))
    if data is not None:
        data = _fitting(as_data(data, like=spec), spec, folder)
    elif with_data and source is not None:
        data = data_sets.load(**source, like=spec)
        if data.fingerprint() != config["data"].get("fingerprint"):
            log.warning("the data of %s have changed since it was trained (their fingerprints differ).", folder)
    if not (place := folder / CHECKPOINT).exists():
        raise RunError(f"{place} is missing: the run died before its first one, or it is gone; train into {folder} anew.")
    state = read_checkpoint(place)
    _initialize(pair, spec, resolve_device(device))
    if weights not in (None, "best", "last"):
        raise OptionError(f"weights is {weights!r}; expected 'best' or 'last'.")
    best = state["best"]
    chosen = weights or ("best" if settings.stops_early and best["tensors"] else "last")
    tensors = best["tensors"] if chosen == "best" else state["tensors"]
    if not tensors:
        raise RunError(f"{folder} has no best parameters: no {best['monitor']!r} was measured; use weights='last'.")
    load_tensors(pair, tensors, str(folder / CHECKPOINT))
    return Run(pair, data, config, state["history"], folder, chosen, state["stopped"], best["epoch"], state["step"])


def _fitting(data: Data, spec: DataSpec, folder: Path) -> Data:
    """The data given in place of a run's own; DataError where their keys have another shape."""
    for key in spec.keys.keys() & data.spec.keys.keys():
        if (came := data.spec.keys[key].shape) != (was := spec.keys[key].shape):
            raise DataError(f"data have {key} of shape {came}, and {folder} was trained on {key} of shape {was}.")
    return data


def _side(objective: Any) -> str:
    """On which side of log p(x) a recorded objective lies."""
    name = objective.get("name") if isinstance(objective, Mapping) else None
    return getattr(objectives.OBJECTIVES[name], "bound", "lower") if name in objectives.OBJECTIVES else "lower"


def _rebuilt(recipe: dict[str, Any], spec: DataSpec, folder: Path) -> Pair:
    """The pair that a run's configuration names."""
    if recipe.get("name") in pairs.CATALOGUE:
        pair = pairs.get(recipe["name"]).rebuild(spec, recipe["options"])
        return observed_part(pair) if recipe.get("observed_part") else pair
    if "sha256" in recipe:
        return rebuild(recipe, spec, folder)
    made_by = recipe.get("file") or recipe.get("model")
    raise RunError(
        f"{folder} was trained on a pair of your own ({made_by}), and reading a run never executes what lies in it: open "
        f"it with pyrovae.load(folder, pair=...), or on the command line with --pair {recipe.get('file', 'my_pair.py:build')}."
    )


@public(without={"epochs", "steps"})
@alone()
def resume(
    path: str | os.PathLike[str],
    *,
    epochs: int | None = None,
    steps: int | None = None,
    pair: PairLike | None = None,
    data: Any = None,
    fabric: Any = None,
    callbacks: Sequence[Callback] | None = None,
    progress: bool = True,
    **objects: Any,
) -> Run:
    """Continue a run from its checkpoint, exactly; with more epochs or steps if given.

    Args:
        path: the run folder.
        epochs: new total number of epochs.
        steps: new total number of steps.
        pair: as for :func:`load`.
        data: as for :func:`load`.
        fabric: as for :func:`~pyrovae.fit`; exact with as many processes as before.
        callbacks: as for :func:`~pyrovae.fit`, in place of the run's; those that it was trained with take up their state, by
            the names of their classes. By default the run's own, of which early stopping by a logged metric is remembered.
        progress: show a progress bar.
        objects: the objective, optimizer, optimizers, scheduler or schedule, where the run was given objects, not names.

    Raises:
        RunError: the data or the pair are not those of the run, or it was trained with objects that are not given again.
    """
    run = load(path, pair=pair, data=data, weights="last")
    if run.data is None:
        raise RunError(f"{path} was trained on data from memory; give them as data=... (on the command line --data FILE).")
    if run.data.fingerprint() != run.config["data"]["fingerprint"]:
        raise RunError(f"the data are not those that {path} was trained on (their fingerprints differ).")
    settings = _settings(run, epochs, steps, callbacks, objects)
    processes = None if fabric is None else Processes(fabric)
    settings = replace(settings, device=resolve_device(settings.device if processes is None else processes.device))
    objective = objectives.get(settings.objective)
    prepare(run.pair, run.data, objective, settings)
    training = Training(run, objective, settings, processes)
    loop = Loop(training, progress)
    loop.checkpoints.restore()
    run.config.setdefault("compiled", {"backend": "eager", "matmul": "mkl", "products": {}})
    compile_if_worthwhile(training)
    if run.step > training.total_steps:
        raise OptionError(
            f"{path} is at step {run.step} already, beyond the {training.total_steps} asked for (an epoch has "
            f"{training.epoch_steps}); give more epochs or steps."
        )
    if processes is not None and processes.rank != 0:
        run.path = None
        return loop.train()
    with locked(run.path):
        loop.checkpoints.refuse_change()
        clear_temporary(run.path, CHECKPOINT, CONFIG, METRICS)
        write_json(run.path / CONFIG, run.config)
        return loop.train()


def _settings(
    run: Run, epochs: int | None, steps: int | None, callbacks: Sequence[Callback] | None, objects: dict[str, Any]
) -> FitSettings:
    """The settings that a run goes on with; what its configuration says of them is brought up to date."""
    for name in objects:
        if name not in OBJECTS:
            raise nearest("argument of resume", name, ["epochs", "steps", "pair", "data", "fabric", "callbacks", *OBJECTS])
    saved = run.config["fit"]
    if epochs is not None or steps is not None:
        FitSettings(epochs=1 if epochs is None else epochs, steps=steps)  # refuses what is none
        saved["epochs"], saved["steps"] = epochs or saved["epochs"], steps
    given = dict(objects)
    lost = {name for name, _ in FitSettings.from_json(saved).unrecorded()}
    for name, value in objects.items():
        if name not in lost and _recorded(name, value) != saved.get(name):
            raise OptionError(
                f"{name} is {value!r}, and {run.path} goes on exactly with {name}={saved.get(name)!r}, as its config.json has "
                f"it; leave {name} out, or train anew: fit(run.pair, data, {name}=...)."
            )
    if callbacks is not None:
        given["callbacks"] = callbacks
        if any(isinstance(each, EarlyStopping) for each in callbacks):
            given["patience"] = None
    settings = FitSettings.from_json(saved, **given)
    for name, called in settings.unrecorded():
        more = ", or [] to go on without" if name == "callbacks" else ""
        raise RunError(f"{run.path} was trained with an object for {name}, {called}; give {name}=... again{more}.")
    if callbacks is not None:
        saved |= {name: settings.to_json()[name] for name in ("callbacks", "patience")}
    return settings


def _recorded(name: str, value: Any) -> Any:
    """What a configuration would say of a setting."""
    if name == "objective":
        return describe_objective(objectives.get(value), value)
    return FitSettings(**{name: value}).to_json()[name]


def _initialize(pair: Pair, spec: DataSpec, device: str) -> None:
    """Adopt the pair and run it once, so that parameters that the programs make themselves exist."""
    adopt(pair.model, pair.guide)
    remember_spec(pair, spec)
    batch = to_pair(pair, {**spec.zeros(2, device), "index": torch.arange(2, device=device)}, device)
    for program in (pair.model, pair.guide):
        if isinstance(program, torch.nn.Module):
            program.to(device)
    with inference(pair, seed=0):
        trace_pair(pair.model, pair.guide, batch, enumerate_sites=False)
    remember(pair.model, batch)


set_folder_opener(load)
