"""Read runs back: their pairs are rebuilt by recipe, never by executing anything that lies in the folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from pyrovae import data as data_sets
from pyrovae import objectives, pairs
from pyrovae.core.inference import inference, private_random
from pyrovae.core.pair import Pair, PairLike, adopt, as_pair, remember, set_folder_opener
from pyrovae.core.trace import trace_pair
from pyrovae.data import DataSpec, as_data
from pyrovae.errors import OptionError, RunError
from pyrovae.files import load_state, read_json, write_json
from pyrovae.runs.user_file import rebuild, warn_of_change
from pyrovae.train.fitting import prepare, resolve_device
from pyrovae.train.loop import Trainer
from pyrovae.train.processes import Processes
from pyrovae.train.run import CHECKPOINT, CONFIG, Run, load_tensors

__all__ = ["load", "resume"]


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
    folder = Path(path)
    config = read_json(folder / CONFIG)
    try:
        spec = DataSpec.from_json(config["data"]["spec"])
        settings, recipe, source = config["fit"], config["pair"], config["data"]["source"]
    except (KeyError, TypeError) as error:
        raise RunError(f"{folder / CONFIG} is no configuration of a run: it lacks {error}.") from error
    with private_random(0):  # building draws first parameters, which nobody needs
        pair = _rebuilt(recipe, spec, folder) if pair is None else as_pair(pair)
    warn_of_change(pair, recipe, folder)
    if data is not None:
        data = as_data(data)
    elif with_data and source is not None:
        data = data_sets.load(**source)
    state = load_state(folder / CHECKPOINT)
    _initialize(pair, spec, resolve_device(device))
    if weights not in (None, "best", "last"):
        raise OptionError(f"weights is {weights!r}; expected 'best' or 'last'.")
    chosen = weights or ("best" if settings["patience"] and state["best"]["tensors"] else "last")
    tensors = state["best"]["tensors"] if chosen == "best" else state["tensors"]
    if not tensors:
        raise RunError(f"{folder} has no best parameters: it was trained without validation data; use weights='last'.")
    load_tensors(pair, tensors, str(folder / CHECKPOINT))
    return Run(pair, data, config, state["history"], folder, chosen, state["stopped"], state["best"]["epoch"])


def _rebuilt(recipe: dict[str, Any], spec: DataSpec, folder: Path) -> Pair:
    """The pair that a run's configuration names."""
    if recipe.get("name") in pairs.CATALOGUE:
        return pairs.get(recipe["name"]).rebuild(spec, recipe["options"])
    if "sha256" in recipe:
        return rebuild(recipe, spec, folder)
    made_by = recipe.get("file") or recipe.get("model")
    raise RunError(
        f"{folder} was trained on a pair of your own ({made_by}), and reading a run never executes what lies in it: give "
        f"pair=... (on the command line --pair {recipe.get('file', 'my_pair.py:build')})."
    )


def resume(
    path: str | os.PathLike[str],
    *,
    epochs: int | None = None,
    steps: int | None = None,
    pair: PairLike | None = None,
    data: Any = None,
    fabric: Any = None,
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
        progress: show a progress bar.
        objects: the objective, optimizer, optimizers, scheduler or schedule, where the run was given objects, not names.

    Raises:
        RunError: the data or the pair are not those of the run.
    """
    run = load(path, pair=pair, data=data, weights="last")
    if run.data is None:
        raise RunError(f"{path} was trained on data from memory; give them as data=... (on the command line --data FILE).")
    if run.data.fingerprint() != run.config["data"]["fingerprint"]:
        raise RunError(f"the data are not those that {path} was trained on (their fingerprints differ).")
    settings = run.config["fit"]
    if epochs is not None or steps is not None:
        for name, value in (("epochs", epochs), ("steps", steps)):
            if value is not None and value < 1:
                raise OptionError(f"{name} is {value}; expected a whole number of at least 1.")
        settings["epochs"], settings["steps"] = epochs or settings["epochs"], steps
    used = {**settings, **objects}
    for name in ("objective", "optimizer", "scheduler"):
        if isinstance(used[name], dict) and "object" in used[name]:
            raise RunError(f"{path} was trained with an {name} object, {used[name]['object']}; give {name}=... again.")
    for name in ("optimizers", "schedule"):  # of configurations of earlier versions neither
        for key, value in (used.get(name) or {}).items():
            if isinstance(value, dict) and "object" in value:
                raise RunError(
                    f"{path} was trained with an object for {key} in {name}, {value['object']}; give {name}={{...}} again."
                )
    processes = None if fabric is None else Processes(fabric)
    used["device"] = resolve_device(used["device"] if processes is None else processes.device)
    objective = objectives.get(used["objective"])
    prepare(run.pair, run.data, objective, used)
    trainer = Trainer(run, objective, used, progress, processes)
    trainer.restore()
    run.config.setdefault("compiled", {"backend": "eager", "matmul": "mkl", "products": {}})
    trainer.compile()
    if trainer.step > trainer.total_steps:
        raise OptionError(
            f"{path} is at step {trainer.step} already, beyond the {trainer.total_steps} asked for (an epoch has "
            f"{trainer.epoch_steps}); give more epochs or steps."
        )
    if processes is None or processes.rank == 0:
        write_json(run.path / CONFIG, run.config)
    else:
        run.path = None
    return trainer.train()


def _initialize(pair: Pair, spec: DataSpec, device: str) -> None:
    """Adopt the pair and run it once, so that parameters that the programs make themselves exist."""
    adopt(pair.model, pair.guide)
    batch = {"x": torch.zeros(2, *spec.shape, device=device), "index": torch.arange(2, device=device)}
    if spec.classes:
        batch["y"] = torch.zeros(2, dtype=torch.long, device=device)
    for key, shape in spec.covariates.items():
        batch[key] = torch.zeros(2, *shape, device=device)
    for program in (pair.model, pair.guide):
        if isinstance(program, torch.nn.Module):
            program.to(device)
    with inference(pair, seed=0):
        trace_pair(pair.model, pair.guide, batch, enumerate_sites=False)
    remember(pair.model, batch)


set_folder_opener(load)
