"""One update of a pair's parameters as one graph: no Pyro, no autograd, no Python between its operations."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from pyrovae import objectives
from pyrovae.compile.graph import compile_graph, first_line, trace_graph, untouched
from pyrovae.compile.matmul import MATMULS, assign_products, choose_products, matmul_backend
from pyrovae.compile.optimizers import OptimizerLike, build_optimizer
from pyrovae.compile.roll import compile_rolled, merge_products
from pyrovae.compile.step import Step
from pyrovae.compile.update import UPDATES, traceable, update_state
from pyrovae.core.doors import training_batch
from pyrovae.core.inference import device_of
from pyrovae.core.pair import PairLike, adopt, as_pair, buffers, modules, parameters, running
from pyrovae.errors import OptionError, PyrovaeError
from pyrovae.objectives import Objective

__all__ = ["CompiledStep", "compile_step"]

log = logging.getLogger("pyrovae")

BACKENDS = ("inductor", "rolled", "graph")
EXAMPLE_ROWS = 100  # of a data set, that a step is compiled for
MAX_NODES = 2000  # Inductor's time grows with the square of a graph's length: longer ones are compiled block by block


class CompiledStep(Step):
    """A :class:`Step` compiled for batches of one shape; batches of other shapes, types or modes run eagerly.

    What is traced: the guide's run, the model's replay, the bound, its gradient, clipping, the optimizer's update (Adam,
    AdamW, SGD; others run after the graph) and the running total. Parameters, buffers, the optimizer's state, learning
    rates and the KL's warm-up are inputs of the graph. The objective's other options are constants in it.

    Attributes:
        products: the library of each product of matrices, by their shapes and strides; :attr:`matmul` is "onednn" if any is.
        seconds: what tracing and compiling took.
        reason: why nothing was compiled, else None.
    """

    products: dict[str, str] = {}
    seconds = 0.0
    reason: str | None = None

    def compile(
        self,
        batch: Mapping[str, Tensor],
        *,
        kl_warmup: bool = False,
        matmul: str | Mapping[str, str] | None = None,
        backend: str | None = None,
        asked: bool = True,
    ) -> CompiledStep:
        """Trace the update on a batch and compile it; stays eager, and says why, where that cannot be.

        Args:
            batch: an example; nothing is learned from it.
            kl_warmup: whether steps will be given a ``ramp``.
            matmul: "mkl" or "onednn", or one for each product as in :attr:`products`; by default the faster for each that is
                exact to float32.
            backend: "inductor", "rolled" (an unrolled loop's blocks compiled once each) or "graph" (not compiled); by default
                Inductor, or rolled for a long graph.
            asked: whether it deserves a warning when it fails.
        """
        for name, value, known in (("matmul", matmul, MATMULS), ("backend", backend, BACKENDS)):
            if isinstance(value, str) and value not in known:
                raise OptionError(f"{name} is {value!r}; expected one of {', '.join(known)}, or None to choose.")
        began = time.perf_counter()
        self._modules, self._others = modules(self.model, self.guide), set()
        self._ramp = torch.ones((), device=self.total.device) if kl_warmup else None
        self._ramp_is, self._lrs_are = 1.0, None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's, about what it uses itself
                self._build(batch, matmul, backend)
        except PyrovaeError:
            raise
        except Exception as error:  # whatever tracing and compiling may meet: the eager step serves all
            self.reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            log.log(
                logging.WARNING if asked else logging.INFO, "the step could not be compiled and runs eagerly: %s", self.reason
            )
            return self
        self._signature = self._signature_of(batch)
        self.optimizer._opt_called = True  # in the graph, where schedulers cannot see it
        self.seconds = time.perf_counter() - began
        log.info("step compiled in %.1f s (%s, %s)", self.seconds, self.backend, self.matmul)
        return self

    def __call__(self, batch: Mapping[str, Tensor], ramp: float = 1.0) -> Tensor:
        """As :meth:`Step.__call__`, without waiting for the device."""
        if self.backend == "eager":
            return super().__call__(batch, ramp)
        signature = self._signature_of(batch)
        if signature != self._signature:
            if signature not in self._others:
                self._others.add(signature)
                log.info("batches of other shape, type or mode than the compiled step's run eagerly: %s", signature)
            return super().__call__(batch, ramp)
        self._set_scalars(ramp)
        with torch.no_grad(), matmul_backend(self.matmul):
            given = [batch[name].contiguous() for name in self._names]
            results = self._code(*given, *self._inputs)
        if self._updates:
            return results[0]
        for p, grad in zip(self._used, results[1:], strict=True):
            p.grad = grad
        return self.apply(results[0], len(given[0]))

    def _signature_of(self, batch: Mapping[str, Tensor]) -> tuple:
        shapes = [(name, value.shape, value.dtype) for name, value in batch.items()]
        return (*shapes, *[module.training for module in self._modules])

    def _set_scalars(self, ramp: float) -> None:
        """Write the schedules' values where the graph reads them, when they have changed."""
        if ramp != self._ramp_is:
            if self._ramp is None:
                raise OptionError(f"ramp is {ramp}, but the step was compiled without kl_warmup=True.")
            self._ramp.fill_(ramp)
            self._ramp_is = ramp
        lrs = [group["lr"] for group in self.optimizer.param_groups]
        if self._updates and lrs != self._lrs_are:
            self._lrs.copy_(torch.tensor([float(lr) for lr in lrs], dtype=torch.float64))
            self._lrs_are = lrs

    # ------------------------------------------------------------------------------------------------ building
    def _build(self, batch: Mapping[str, Tensor], matmul: str | None, backend: str | None) -> None:
        self._names = list(batch)
        given = [batch[name].contiguous() for name in self._names]
        ramp = [] if self._ramp is None else [self._ramp]
        graph, captured = self._trace_gradients([*given, *ramp])
        seen = [*ramp, *captured]
        compiler = backend or ("inductor" if len(graph.graph.nodes) <= MAX_NODES else "rolled")
        if compiler == "rolled":
            merge_products(graph)
        on_cpu = self.total.device.type == "cpu"
        if isinstance(matmul, str) or not on_cpu:
            self.matmul, self.products = matmul or "mkl", {}
        else:
            self.products = choose_products(graph) if matmul is None else dict(matmul)
            self.matmul = "onednn" if "onednn" in self.products.values() else "mkl"
        if backend is None:
            try:
                self._generate(compiler, graph, given, seen)
            except Exception as error:
                self.reason = first_line(error)
                log.warning("the step is traced but not compiled: %s", self.reason)
                self._generate("graph", graph, given, seen)
        else:
            self._generate(compiler, graph, given, seen)

    def _generate(self, backend: str, graph: fx.GraphModule, given: list[Tensor], seen: list[Tensor]) -> None:
        """Make the code of the step, with the optimizer's update in it where Inductor compiles it as a whole."""
        self._updates = backend == "inductor" and traceable(self.optimizer) and self.exchange is None
        self._inputs = seen
        if self.matmul == "onednn" and backend != "graph":
            assign_products(graph, self.products)
        with matmul_backend(self.matmul), untouched(self._state()):
            if backend == "graph":
                self._code: Callable[..., Any] = graph
            elif backend == "rolled":
                self._code = compile_rolled(graph)
            else:
                if self._updates:
                    graph, self._inputs = self._trace_update(graph, given, seen)
                self._code = compile_graph(graph, [*given, *self._inputs])
        self.backend = backend

    def _state(self) -> list[Tensor]:
        """What a step changes beside the parameters."""
        networks = self.objective.networks
        return [*buffers(self.model, self.guide).values(), *([] if networks is None else networks.buffers())]

    def _trace_gradients(self, inputs: Sequence[Tensor]) -> tuple[fx.GraphModule, list[Tensor]]:
        """(batch, [ramp], captured) -> (sum of the bounds, the gradient of each parameter that has one)."""

        def gradients(*inputs: Tensor) -> tuple[Tensor, ...]:
            batch = dict(zip(self._names, inputs, strict=False))
            bound, surrogate = self.terms(batch, 1.0 if self._ramp is None else inputs[-1])
            grads = torch.autograd.grad(-surrogate.mean(), self.params, allow_unused=True)
            self._used = [p for p, grad in zip(self.params, grads, strict=True) if grad is not None]
            return bound.detach().sum(), *[grad for grad in grads if grad is not None]

        with untouched(self._state()):
            return trace_graph(gradients, inputs)

    def _trace_update(
        self, graph: fx.GraphModule, given: list[Tensor], seen: list[Tensor]
    ) -> tuple[fx.GraphModule, list[Tensor]]:
        """(batch, [ramp], captured, parameters, their states, total, learning rates) -> (mean bound,), updated in place."""
        groups = [(i, g) for i, g in enumerate(self.optimizer.param_groups) for p in g["params"] if p.requires_grad]
        of = {id(p): group for p, group in zip(self.params, groups, strict=True)}
        states = [update_state(self.optimizer, of[id(p)][1], p) for p in self._used]
        update = UPDATES[type(self.optimizer)]
        self._lrs = torch.zeros(len(self.optimizer.param_groups), dtype=torch.float64, device=self.total.device)
        place = {id(tensor): i for i, tensor in enumerate(seen)}
        where = [place[id(p)] for p in self._used]
        flat = [tensor for state in states for tensor in state.values()]
        size = len(given[0])

        def step(*inputs: Tensor) -> tuple[Tensor]:
            rest = list(inputs[len(given) :])
            reached, rest = rest[: len(seen)], rest[len(seen) :]
            *values, total, moves, lrs = rest
            bound, *grads = graph(*inputs[: len(given)], *reached)
            sum_ = total + bound
            finite = sum_.isfinite()
            if self.clip_norm is not None:
                norm = torch.stack([grad.norm() for grad in grads]).norm()
                finite = finite & norm.isfinite()
                grads = [grad * (self.clip_norm / (norm + 1e-6)).clamp(max=1.0) for grad in grads]
            changes = [(total, sum_), (moves, moves + 1)]
            held = iter(values)
            for i, p, grad, names in zip(where, self._used, grads, states, strict=True):
                index, group = of[id(p)]
                state = {name: next(held) for name in names}
                new, new_state = update(reached[i], grad, state, lrs[index], group)
                changes += [(reached[i], new), *[(state[name], new_state[name]) for name in new_state]]
            for old, new in changes:
                old.copy_(torch.where(finite, new, math.nan if old is total else old))
            return (torch.where(finite, bound / size, math.nan),)

        extra = [*flat, self.total, self.moves, self._lrs]
        with torch.no_grad():
            traced = make_fx(step, tracing_mode="fake")(*given, *seen, *extra)
        return traced, [*seen, *extra]


def compile_step(
    pair: PairLike,
    data: Any,
    objective: str | Mapping[str, Any] | Objective | None = None,
    optimizer: OptimizerLike = "Adam",
    *,
    lr: float | None = 1e-3,
    optimizer_options: Mapping[str, Any] | None = None,
    clip_norm: float | None = None,
    kl_warmup: bool = False,
    precision: str = "float32",
    matmul: str | None = None,
    backend: str | None = None,
) -> CompiledStep:
    """``step(batch)``: one update of the pair's parameters, compiled; the mean bound of the batch, nats per datum.

    For a training loop of one's own; :func:`~pyrovae.fit` compiles by itself. Programs, objective and optimizer are traced
    once on the example batch, with every parameter, buffer, optimizer state and learning rate an input of the compiled
    graph; each call draws fresh noise from torch's generator. Where tracing or compiling fails the step runs eagerly and a
    line of the log says why.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: an example of the batches to come, whose shapes are compiled for: a dict of tensors as it is, of all else
            that :func:`pyrovae.data.load` takes the first 100 rows (of a whole Data set those of the training part).
        objective: name with options, mapping, or one of :mod:`pyrovae.objectives`; by default the pair's own.
        optimizer: name in torch.optim, callable of the parameters, or optimizer.
        lr: learning rate.
        optimizer_options: further arguments of a named optimizer.
        clip_norm: largest Euclidean norm of the gradient.
        kl_warmup: whether ``step(batch, ramp=...)`` will weight the KL, ramp in [0, 1].
        precision: "float32", or "bf16" networks with float32 log densities.
        matmul: "mkl" or "onednn"; by default the faster one that is exact to float32.
        backend: "inductor", "rolled" (an unrolled loop's blocks compiled once each) or "graph" (not compiled); by default
            Inductor, or rolled for a long graph.

    Returns:
        A :class:`CompiledStep`; ``step.optimizer`` is its optimizer, ``step.total`` the sum of bounds.

    Raises:
        ContractError, OptionError: as for :func:`~pyrovae.fit`.
    """
    pair = as_pair(pair)
    model, guide = pair.model, pair.guide
    batch = data if isinstance(data, Mapping) else training_batch(data, EXAMPLE_ROWS)
    batch = {key: value.to(device_of(model, guide)) for key, value in batch.items()}
    objective = objectives.get(pair.objective if objective is None else objective)
    if not isinstance(objective, Objective):
        raise OptionError(f"objective is {objective!r}; a compiled step needs one of pyrovae.objectives, such as 'elbo'.")
    adopt(model, guide)
    with running(model, guide), torch.no_grad(), untouched(buffers(model, guide).values()):
        objective.build(batch)
        objective.trace(model, guide, batch)  # parameters that programs make themselves exist from here on
    own = [] if objective.networks is None else list(objective.networks.parameters())
    params = [p for p in [*parameters(model, guide).values(), *own] if p.requires_grad]
    made = build_optimizer(optimizer, params, lr, optimizer_options or {})
    step = CompiledStep(objective, model, guide, made, clip_norm=clip_norm, precision=precision)
    return step.compile(batch, kl_warmup=kl_warmup, matmul=matmul, backend=backend)
