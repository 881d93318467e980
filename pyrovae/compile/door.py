"""The compiled step of a pair, for training loops of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from pyrovae import objectives
from pyrovae.calls import public
from pyrovae.compile.compiled import CompiledStep
from pyrovae.compile.graph import preserve_tensors
from pyrovae.compile.optimizers import OptimizerLike, build_optimizers
from pyrovae.core.admission import Admission
from pyrovae.core.alone import alone
from pyrovae.core.doors import training_batch
from pyrovae.core.pair import Pair, PairLike, as_pair
from pyrovae.core.parameters import adopt, buffers, parameter_scope
from pyrovae.errors import DataError, OptionError, nearest
from pyrovae.objectives import Given, Objective
from pyrovae.objectives.moves import moved_parameters, prepare_objective, survey

__all__ = ["compile_step"]

EXAMPLE_ROWS = 100  # of a data set, that a step is compiled for


def _examples(pair: Pair, data: Any, count: int) -> list[Mapping[str, Tensor]]:
    """As many batches as a step takes: dicts of tensors as they are, of all else the first rows of the data."""
    if isinstance(data, list | tuple) and len(data) == count and all(isinstance(batch, Mapping) for batch in data):
        return [tensors(batch) for batch in data]
    return [tensors(data) if isinstance(data, Mapping) else training_batch(pair, data, EXAMPLE_ROWS)] * count


def tensors(batch: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """A batch, unless an entry of it is no tensor."""
    for key, value in batch.items():
        if not isinstance(value, Tensor):
            raise DataError(f"data has {key!r} of type {type(value).__name__}; expected a tensor, (B, ...).")
    return batch


@public()
@alone()
def compile_step(
    pair: PairLike,
    data: Any,
    objective: str | Mapping[str, Any] | Objective | None = None,
    optimizer: OptimizerLike = "Adam",
    *,
    lr: float | None = 1e-3,
    optimizer_options: Mapping[str, Any] | None = None,
    optimizers: Mapping[str, Any] | None = None,
    clip_norm: float | None = None,
    schedule: Sequence[str] = (),
    precision: str = "float32",
    matmul: str | Mapping[str, str] | None = None,
    backend: str | None = None,
) -> CompiledStep:
    """``step(batch)``: one step of the pair's parameters, compiled; the mean bound of the batch, nats per datum.

    For a training loop of one's own; :func:`~pyrovae.fit` compiles by itself. Programs, objective and optimizer are traced
    once on the example batch, with every parameter, buffer, optimizer state and learning rate an input of the compiled
    graph; each call draws fresh noise from torch's generator. Where tracing or compiling fails the step runs eagerly and a
    line of the log says why.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: an example of the batches to come, whose shapes are compiled for: a dict of tensors as it is (a list of them
            for an objective that takes several batches a step), of all else that :func:`pyrovae.data.load` takes the first
            100 rows (of a whole Data set those of the training part).
        objective: name with options, mapping, or one of :mod:`pyrovae.objectives`; by default the pair's own.
        optimizer: name in torch.optim, callable of the parameters, or optimizer.
        lr: learning rate.
        optimizer_options: further arguments of a named optimizer.
        optimizers: of single updates, as for :func:`~pyrovae.fit`.
        clip_norm: largest Euclidean norm of the gradient of an update.
        schedule: options to which each step gives a value, ``step(batch, {"beta": 0.5})``.
        precision: "float32", or "bf16" networks with float32 log densities.
        matmul: "mkl" or "onednn"; by default the faster one that is exact to float32.
        backend: "inductor" or "graph" (traced, not compiled); by default Inductor, but for the long graph of an unrolled loop.

    Returns:
        A :class:`CompiledStep`; ``step.optimizers`` are its optimizers by update, ``step.total`` is the sum of bounds.

    Raises:
        ContractError, OptionError: as for :func:`~pyrovae.fit`.
    """
    pair = as_pair(pair)
    model, guide = pair.model, pair.guide
    objective = objectives.get(pair.objective if objective is None else objective)
    if not isinstance(objective, Objective):
        raise OptionError(f"objective is {objective!r}; a compiled step needs one of pyrovae.objectives, such as 'elbo'.")
    for name in schedule:
        if name not in objective.weights:
            raise nearest(f"option of {objective!r} to schedule", name, objective.weights)
    adopt(model, guide)
    batches = [Admission(pair)(batch) for batch in _examples(pair, data, objective.num_batches)]
    held = list(buffers(model, guide).values())
    with preserve_tensors(held):
        prepare_objective(objective, model, guide, batches[0])  # parameters that programs make themselves exist from here on
    params = moved_parameters(objective, model, guide)
    made = build_optimizers(objective, params, optimizer, lr, optimizer_options, optimizers)
    with parameter_scope(model, guide), preserve_tensors(held):
        figures = survey(objective, Given(model, guide, batches, {}, params)).figures
    options = {"clip_norm": clip_norm, "precision": precision, "schedule": schedule}
    step = CompiledStep(objective, model, guide, made, figures=figures, **options)
    return step.compile(batches, matmul=matmul, backend=backend)
