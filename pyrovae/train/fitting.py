"""``fit``: stochastic gradient ascent on an objective of a pair."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import islice
from typing import Any

import numpy
import pyro.infer
import torch

from pyrovae import objectives
from pyrovae.calls import public
from pyrovae.compile.optimizers import OptimizerLike, SchedulerLike
from pyrovae.core.admission import Admission, to_pair
from pyrovae.core.alone import alone
from pyrovae.core.contract import check_batch
from pyrovae.core.inference import dtype_of, evaluation_mode, private_random
from pyrovae.core.pair import Pair, as_pair, known_spec, remember_spec
from pyrovae.core.parameters import take_over
from pyrovae.core.program import Program, modules
from pyrovae.core.site_report import Report
from pyrovae.data import Data, Split, Stream, as_data
from pyrovae.errors import OptionError, PyrovaeError
from pyrovae.files import clear_folder, locked, make_folder, write_json
from pyrovae.objectives import Objective
from pyrovae.objectives.moves import prepare_objective
from pyrovae.train.callbacks import Callback
from pyrovae.train.compilation import compile_if_worthwhile
from pyrovae.train.loop import Loop
from pyrovae.train.processes import Processes
from pyrovae.train.run import CHECKPOINT, CONFIG, LEFTOVERS, Run
from pyrovae.train.settings import FitSettings
from pyrovae.train.training import Training

__all__ = ["fit"]

ROWS_TO_BEGIN = 1000  # of a batch that an objective begins with
log = logging.getLogger("pyrovae")


@public(without={each.name for each in fields(FitSettings)})
@alone()
def fit(
    pair: Pair | tuple[Program, Program],
    data: Any,
    objective: str | Mapping[str, Any] | pyro.infer.ELBO | None = None,
    *,
    epochs: int = 50,
    steps: int | None = None,
    batch_size: int = 100,
    optimizer: OptimizerLike = "Adam",
    lr: float | None = 1e-3,
    optimizer_options: dict[str, Any] | None = None,
    optimizers: Mapping[str, Any] | None = None,
    scheduler: SchedulerLike = None,
    scheduler_options: dict[str, Any] | None = None,
    scheduler_interval: str = "epoch",
    clip_norm: float | None = None,
    kl_warmup: float = 0.0,
    schedule: Mapping[str, Any] | None = None,
    patience: int | None = None,
    callbacks: Sequence[Callback] = (),
    validate: bool = True,
    seed: int = 0,
    device: str = "cpu",
    precision: str = "float32",
    compile: bool | None = None,
    fabric: Any = None,
    out: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 30.0,
    tensorboard: bool = True,
    progress: bool = True,
) -> Run:
    """Train a pair: ascend the mean over the batch of a bound on log p(x), in nats per datum.

    The pair is checked first (:func:`~pyrovae.core.contract`), its parameters change in place, and the caller's random state
    is left as it was. Runs resume exactly: on the CPU a run that was killed and resumed ends bitwise as if it had not been.

    Args:
        pair: a Pair, or a (model, guide) tuple.
        data: a Data set, a name, a path, arrays, a torch Dataset or DataLoader.
        objective: name with options ("iwae:num_particles=50"), a mapping with ``name``, or any Pyro ELBO; by default the
            pair's own.
        epochs: passes over the training data.
        steps: number of parameter updates, in place of epochs.
        batch_size: B.
        optimizer: name in torch.optim, callable of the parameters, or optimizer.
        lr: learning rate.
        optimizer_options: further arguments of a named optimizer.
        optimizers: of single updates of the objective, ``{"discriminate": {"name": "SGD", "lr": 0.1}}``, any part of it;
            what it leaves out is the objective's own choice, and else that of the three options above.
        scheduler: name in torch.optim.lr_scheduler, callable of the optimizer, or scheduler.
        scheduler_options: arguments of a named scheduler.
        scheduler_interval: "epoch" or "step", when the scheduler moves.
        clip_norm: largest Euclidean norm of the gradient of an update.
        kl_warmup: epochs over which the weight of the KL, beta, grows linearly from 0 to its value, or the capacity does
            (elbo, meanfield and enum only); logged bounds are never weighted.
        schedule: option of the objective -> its values, as ``"linear:start=0,end=4,epochs=10"``, a mapping with ``name``
            (constant, linear, exponential, cosine, cyclical), or a callable of the step; each is logged under its own name.
            A validation bound is the one with the objective's own options.
        patience: stop after that many epochs without a better validation bound, and return the best parameters: short for
            ``callbacks=[EarlyStopping("valid", patience)]``.
        callbacks: objects of :class:`~pyrovae.train.Callback`, called in their order at the hooks that they have.
        validate: compute the bound of the validation data after each epoch.
        seed: of the order of the data and of all noise.
        device: "cpu", "cuda" or "auto".
        precision: "float32", or "bf16" networks with float32 log densities.
        compile: trace and compile the step (:func:`~pyrovae.compile_step`), which takes 5 to 30 seconds; by default for runs
            of 3,000 steps or more, or of 2,000,000 steps x data x particles. A step that cannot be compiled runs eagerly, as
            do batches of another shape than the first (a short last one).
        fabric: a launched Lightning Fabric: its processes all call ``fit`` alike and share the rows of each batch; its device
            replaces ``device``, and process 0 writes the run.
        out: new folder for the run: config.json, metrics.csv, checkpoint.safetensors.
        checkpoint_seconds: time between checkpoints; one is always written at the end, on Ctrl-C and SIGTERM.
        tensorboard: also write TensorBoard events, when tensorboard is installed and ``out`` is given.
        progress: show a progress bar.

    Returns:
        A :class:`~pyrovae.train.run.Run`, also after Ctrl-C and SIGTERM: ``run.stopped`` tells, and a warning of the log.

    Raises:
        ContractError, DataError, OptionError: before any training.
        NonFiniteError: the bound or a parameter is no longer finite; names the site and the batch.
        RunError: the run folder exists or cannot be written.

    >>> import pyrovae as pv
    >>> data = pv.data.load("digits")
    >>> run = pv.fit(pv.pairs.vae(data.spec, latent_dim=2), data, epochs=1, progress=False)
    >>> len(run.history), run.stopped
    (1, 'finished')
    """
    given = {key: value for key, value in locals().items() if key in {each.name for each in fields(FitSettings)}}
    settings = FitSettings(**given)
    pair, data = as_pair(pair), as_data(data)
    objective = objectives.get(chosen := pair.objective if objective is None else objective)
    processes = None if fabric is None else Processes(fabric)
    settings = replace(settings, device=resolve_device(device if processes is None else processes.device))
    _check_together(settings, objective, data)
    _take_over(pair, data)
    _say_of_stages(pair)
    _say_of_kinds(pair, data)
    report = _prepared(pair, data, objective, settings)
    if isinstance(objective, Objective):
        with evaluation_mode(pair.model, pair.guide), private_random(seed):
            objective.begin(pair.model, pair.guide, (to_pair(pair, rows) for rows in data.train.batches(ROWS_TO_BEGIN)))
    config = _configuration(pair, data, settings, describe_objective(objective, chosen), processes)
    config["bound"] = report.side_of(objective)
    run = Run(pair, data, config)
    training = Training(run, objective, settings, processes)
    compile_if_worthwhile(training)
    if out is not None and (processes is None or processes.rank == 0):  # last, so that what is refused leaves no folder
        run.path = make_folder(out, CHECKPOINT, LEFTOVERS)
    return _train(training, config, progress)


def _train(training: Training, config: dict[str, Any], progress: bool) -> Run:
    """Train in the run's folder, which nobody else trains in."""
    path = training.run.path
    with locked(path):
        if path is not None:
            clear_folder(make_folder(path, CHECKPOINT, LEFTOVERS))
            write_json(path / CONFIG, config)
        return Loop(training, progress).train()


def _configuration(
    pair: Pair, data: Data, settings: FitSettings, objective: Any, processes: Processes | None
) -> dict[str, Any]:
    """JSON of how a run is made."""
    dtype = dtype_of(pair.model, pair.guide)
    return {
        "pair": dict(pair.recipe) if pair.recipe else {"name": None, "model": type(pair.model).__name__},
        "data": {"source": data.source, "spec": data.spec.to_json(), "fingerprint": data.fingerprint()},
        **({} if dtype is torch.float32 else {"dtype": str(dtype).removeprefix("torch.")}),
        "fit": {**settings.to_json(), "objective": objective},
        **({} if processes is None else {"processes": processes.size}),
        "versions": versions(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _prepared(pair: Pair, data: Data, objective: pyro.infer.ELBO, settings: FitSettings) -> Report:
    """:func:`prepare` for new data, which the pair knows afterwards; what is refused changes nothing."""
    before = known_spec(pair)
    remember_spec(pair, data.spec)
    try:
        return prepare(pair, data, objective, settings)
    except PyrovaeError:
        remember_spec(pair, before)
        raise


def prepare(pair: Pair, data: Data, objective: pyro.infer.ELBO, settings: FitSettings) -> Report:
    """Move the pair to its device, check it there on a training batch, and ask the objective whether it can serve it."""
    device = settings.device
    for module in modules(pair.model, pair.guide):
        module.to(device)
    batch = to_pair(pair, next(iter(data.train.batches(min(64, settings.batch_size)))), device)
    report = check_batch(pair, batch)
    if data.valid is not None and settings.validate:
        admit_validation(pair, data.valid, settings.batch_size)
    if isinstance(objective, Objective):
        objective.observe_data(data.train, 0)
        prepare_objective(objective, pair.model, pair.guide, batch)
    return report


def _take_over(pair: Pair, data: Data) -> None:
    """Give the pair its own parameters, and say where Pyro's store had trained ones."""
    names = take_over(pair.model, pair.guide, to_pair(pair, next(iter(data.train.batches(2)))))
    if names:
        log.warning(
            "training goes on from what Pyro's parameter store holds of %s; pyro.clear_param_store() before fit starts anew.",
            ", ".join(names),
        )


def _say_of_stages(pair: Pair) -> None:
    """Warn of stages that stand still in the pair without having been trained."""
    if untrained := pair.untrained_stages:
        log.warning(
            "the pair is built on %d of %d stages (pair.stages) whose parameters stand still in it, and are those that it was "
            "made with: train them first, pyrovae.fit_stages(pair, data).",
            len(untrained),
            len(pair.stages),
        )


def admit_validation(pair: Pair, valid: Split | Stream, batch_size: int) -> None:
    """Refuse validation data that the pair cannot score: all rows of a Split, the first batch of a Stream."""
    admit, batches = Admission(pair), valid.batches(batch_size)
    try:
        for batch in batches if isinstance(valid, Split) else islice(batches, 1):
            admit(batch)
    except PyrovaeError as error:
        raise type(error)(f"validation data: {error}") from error


def _say_of_kinds(pair: Pair, data: Data) -> None:
    """Warn of data that are of another kind than those that the pair was built for or last fitted to."""
    known = known_spec(pair)
    for key in known.keys.keys() & data.spec.keys.keys() if known is not None else ():
        before, now = known.keys[key].kind, data.spec.keys[key].kind
        if before != now:
            log.warning(
                "%s is %s in %s, and %s in the data that the pair knows; load the data with kinds={%r: %r} for the same.",
                *(key, now, data.spec.name, before, key, before),
            )


def resolve_device(device: str) -> str:
    """'auto' becomes cuda where there is one; refuses a device that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda") and not device.startswith("cuda:"):
        raise OptionError(f"device is {device!r}; expected 'cpu', 'cuda' or 'auto'.")
    if device != "cpu" and not torch.cuda.is_available():
        raise OptionError(f"device is {device!r}, but torch finds no CUDA device here; use 'cpu' or 'auto'.")
    return device


def describe_objective(objective: pyro.infer.ELBO, chosen: Any) -> Any:
    """JSON of an objective: a mapping that :func:`~pyrovae.objectives.get` takes, or the class of a Pyro ELBO."""
    for name, kind in objectives.OBJECTIVES.items():
        if type(objective) is kind:
            return {"name": name, **objective.options()}
    return {"object": repr(chosen)}


def _check_together(settings: FitSettings, objective: pyro.infer.ELBO, data: Data) -> None:
    """Refuse settings that would do nothing beside the others, or would spoil the bound."""
    if settings.kl_warmup and not (isinstance(objective, Objective) and objective.weights_kl):
        raise OptionError(
            f"kl_warmup does not go with {objective!r}, which has no weight of the KL to raise, or sets its own; use 'elbo' "
            "or 'meanfield', or kl_warmup=0."
        )
    if settings.patience and (data.valid is None or not settings.validate):
        raise OptionError(
            f"patience is {settings.patience}, and no validation bound is computed; give validation data and "
            "validate=True, or callbacks=[EarlyStopping('train')]."
        )
    for name, options in (("scheduler", settings.scheduler_options), ("optimizer", settings.optimizer_options)):
        if options and not isinstance(getattr(settings, name), str):
            raise OptionError(f"{name}_options is {options!r}, which only a named {name} takes.")


def versions() -> dict[str, str]:
    """What the run was made with."""
    return {
        "pyrovae": version("pyrovae"),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "threads": str(torch.get_num_threads()),
    }
