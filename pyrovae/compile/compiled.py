"""One step of a pair's parameters as one graph: no Pyro, no autograd, no Python between its operations."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from pyrovae.compile.gradients import GradientStep
from pyrovae.compile.graph import compile_graph, first_line, nodes_so_far, preserve_tensors, trace_graph
from pyrovae.compile.matmul import MATMULS, assign_products, choose_products, matmul_backend
from pyrovae.compile.replay import replayed
from pyrovae.compile.step import Batches, Grads, as_batches
from pyrovae.compile.steps import StepCode
from pyrovae.compile.update import UPDATES, traceable, update_state, written
from pyrovae.core.alone import alone
from pyrovae.core.inference import evaluation_mode
from pyrovae.core.keys import drawn_keys
from pyrovae.core.parameters import buffers, parameter_scope
from pyrovae.core.program import modules
from pyrovae.core.step_run import compiled_steps, in_steps
from pyrovae.errors import OptionError, PyrovaeError
from pyrovae.objectives import Update

__all__ = ["CompiledStep"]

log = logging.getLogger("pyrovae")

BACKENDS = ("inductor", "graph")
MAX_NODES = 2000  # Inductor's time grows with the square of a graph's length: longer ones are traced, not compiled


class CompiledStep(GradientStep):
    """A :class:`Step` compiled for batches of one shape; batches of other shapes, types or modes run eagerly.

    What is traced is the whole step: each update's runs of the programs, its loss and gradient, clipping, the optimizer (Adam,
    AdamW, SGD, RMSprop), the buffers' new values and the totals. Parameters, buffers, the optimizers' states, learning rates
    and scheduled options are inputs of the graph; the objective's other options are constants in it. Where another optimizer,
    or several processes, stand between, the gradients alone are traced, if all updates are yielded at once. Of a pair in steps
    one step is compiled, which serves every length, and Python loops over it.

    Attributes:
        products: the library of each product of matrices, by their shapes and strides; :attr:`matmul` is "onednn" if any is.
        seconds: what tracing and compiling took.
        reason: why nothing was compiled, else None.
    """

    products: dict[str, str] = {}
    seconds = 0.0
    reason: str | None = None
    _steps: StepCode | None = None  # of a pair in steps

    def compile(
        self,
        batch: Batches,
        *,
        matmul: str | Mapping[str, str] | None = None,
        backend: str | None = None,
        asked: bool = True,
    ) -> CompiledStep:
        """Trace the step on a batch and compile it; stays eager, and says why, where that cannot be.

        Args:
            batch: an example; nothing is learned from it.
            matmul: "mkl" or "onednn", or one for each product as in :attr:`products`; by default the faster for each that is
                exact to float32.
            backend: "inductor" or "graph" (traced, not compiled); by default Inductor, but for a long graph.
            asked: whether it deserves a warning when it fails.
        """
        for name, value, known in (("matmul", matmul, MATMULS), ("backend", backend, BACKENDS)):
            if not {*(value.values() if isinstance(value, Mapping) else [value])} <= {*known, None}:
                raise OptionError(f"{name} is {value!r}; expected one of {', '.join(known)}, or None to choose.")
        began = time.perf_counter()
        self._modules, self._others, self._lrs_are = modules(self.model, self.guide), set(), None
        batches = as_batches(batch, self.objective.num_batches)
        with parameter_scope(self.model, self.guide), evaluation_mode(self.model, self.guide):
            drawn_keys(self.model, batches[0], given=batches[0])  # by values, which cannot be looked at while tracing
        log.info("compiling the step, once, before training goes on")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's, about what it uses itself
                if not self._build_one_step(batches, backend):
                    self._build(batches, matmul, backend)
        except PyrovaeError:
            raise
        except Exception as error:  # whatever tracing and compiling may meet: the eager step serves all
            self.reason = first_line(error)
            log.log(
                logging.WARNING if asked else logging.INFO, "the step could not be compiled and runs eagerly: %s", self.reason
            )
            return self
        self._signature = self._signature_of(batches)
        for optimizer in self.optimizers.values():
            optimizer._opt_called = True  # in the graph, where schedulers cannot see it
        self.seconds = time.perf_counter() - began
        log.info("step compiled in %.1f s (%s, %s)", self.seconds, self.backend, self.matmul)
        return self

    @alone()
    def __call__(self, batch: Batches, schedule: Mapping[str, float] | None = None) -> Tensor:
        """As :meth:`Step.__call__`, without waiting for the device."""
        if self.backend == "eager":
            return super().__call__(batch, schedule)
        if self._steps is not None:
            with compiled_steps(self._steps):
                return super().__call__(batch, schedule)
        batches = as_batches(batch, self.objective.num_batches)
        if (signature := self._signature_of(batches)) != self._signature:
            if signature not in self._others:
                self._others.add(signature)
                log.info("batches of other shape, type or mode than the compiled step's run eagerly: %s", signature)
            return super().__call__(batches, schedule)
        self.set_schedule(schedule)
        if self._whole:
            self._set_lrs()
        with torch.no_grad(), matmul_backend(self.matmul):
            results = self._code(*self._given(batches), *self._inputs)
        if self._whole:
            return results[0]
        self._begin(batches)
        together, grads, state = self._unpack(iter(results))
        self._move(together, grads)
        return self._end(state)

    def _given(self, batches: Sequence[Mapping[str, Tensor]]) -> list[Tensor]:
        return [batch[name].contiguous() for batch in batches for name in self._names]

    def _signature_of(self, batches: Sequence[Mapping[str, Tensor]]) -> tuple:
        shapes = [(name, value.shape, value.dtype) for batch in batches for name, value in batch.items()]
        return (*shapes, *[module.training for module in self._modules])

    def _set_lrs(self) -> None:
        """Write the learning rates where the graph reads them, when they have changed."""
        lrs = [group["lr"] for optimizer in self.optimizers.values() for group in optimizer.param_groups]
        if lrs != self._lrs_are:
            self._lrs.copy_(torch.tensor([float(lr) for lr in lrs], dtype=torch.float64))
            self._lrs_are = lrs

    # ------------------------------------------------------------------------------------------------ building
    def _build_one_step(self, batches: list[Mapping[str, Tensor]], backend: str | None) -> bool:
        """Compile one step of a pair in steps, over which Python loops; False where the objective does not run it in steps."""
        if not in_steps(self.model, self.guide, batches[0]):
            return False
        code = StepCode(backend or "inductor")
        with compiled_steps(code), preserve_tensors(self._state()):
            self.run_updates(batches, lambda together, grads: None)
        if code.reason is not None:
            raise RuntimeError(code.reason)
        if code.made:
            self._steps, self.backend = code, code.backend
        return code.made > 0

    def _build(self, batches: list[Mapping[str, Tensor]], matmul: Any, backend: str | None) -> None:
        self._names = list(batches[0])
        untraced = [type(o).__name__ for o in self.optimizers.values() if not traceable(o)]
        between = "several processes" if self.exchange is not None else f"optimizer {untraced[0]}" if untraced else None
        self._whole = between is None
        graph, seen = self._trace(batches, between)
        compiler = backend or "inductor"
        if backend is None and (length := len(graph.graph.nodes) - self._move_nodes) > MAX_NODES:
            self.reason = f"its graph has {length} operations, as a loop's; pv.unroll of one step is compiled"
            log.warning("the step is traced but not compiled: %s", self.reason)
            compiler = "graph"
        on_cpu = self.total.device.type == "cpu"
        if isinstance(matmul, str) or not on_cpu or compiler == "graph":  # whose products are not assigned one by one
            self.matmul, self.products = matmul if isinstance(matmul, str) else "mkl", {}
        else:
            self.products = choose_products(graph) if matmul is None else dict(matmul)
            self.matmul = "onednn" if "onednn" in self.products.values() else "mkl"
        self._inputs, given = seen, self._given(batches)
        try:
            self._generate(compiler, graph, given)
        except Exception as error:
            if backend is not None:
                raise
            self.reason = first_line(error)
            log.warning("the step is traced but not compiled: %s", self.reason)
            self.matmul, self.products = "mkl", {}
            self._generate("graph", graph, given)

    def _generate(self, backend: str, graph: fx.GraphModule, given: list[Tensor]) -> None:
        """Make the code of the step."""
        if self.matmul == "onednn" and backend != "graph":
            assign_products(graph, self.products)
        with matmul_backend(self.matmul), preserve_tensors(self._state()):
            if backend == "graph":
                self._code: Callable[..., Any] = graph
            else:
                self._code = replayed(compile_graph(graph, [*given, *self._inputs]), given, self._inputs)
        self.backend = backend

    def _state(self) -> list[Tensor]:
        """What a step changes beside the parameters: buffers."""
        networks = self.objective.networks
        return [*buffers(self.model, self.guide).values(), *([] if networks is None else networks.buffers())]

    def _trace(self, batches: list[Mapping[str, Tensor]], between: str | None) -> tuple[fx.GraphModule, list[Tensor]]:
        """The graph of the step, whole or of its gradients, and what it captured; all that tracing moved is put back."""
        params = {id(p): p for own in self.params.values() for p in own}
        held: list[Tensor] = [*self._state(), *params.values(), self.total, self.moves, *self.sums.values()]
        if self._whole:
            self._prepare_optimizers()
            held += [tensor for state in self._states.values() for tensor in state.values()]
        self._move_nodes, self._yields = 0, 0

        def traced(*inputs: Tensor) -> tuple[Tensor, ...]:
            values = iter(inputs)
            given = [{name: next(values) for name in self._names} for _ in batches]
            return self._trace_whole(given) if between is None else self._trace_gradients(given, between)

        with preserve_tensors(held):
            return trace_graph(traced, self._given(batches))

    def _prepare_optimizers(self) -> None:
        """The state of each parameter in each optimizer, and its group, by update and parameter."""
        self._states, self._groups, count = {}, {}, 0
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.requires_grad:
                        self._groups[name, id(p)] = count, group
                        self._states[name, id(p)] = update_state(optimizer, group, p)
                count += 1
        self._lrs = torch.zeros(count, dtype=torch.float64, device=self.total.device)

    def _trace_whole(self, batches: list[Mapping[str, Tensor]]) -> tuple[Tensor, ...]:
        """batch -> (mean bound,), everything else being updated in place."""
        size = len(next(iter(batches[0].values())))
        new_total, finite, sums = self.total, None if len(self.params) == 1 else self.total.isfinite(), dict(self.sums)
        mean = self.total

        def move(together: tuple[Update, ...], grads: list[Grads]) -> None:
            nonlocal new_total, finite, mean
            self._yields += 1
            for update in together:
                if update.bound is not None:
                    bound = update.bound.detach().sum()
                    new_total, mean = self.total + bound, bound / size
            for update, own in zip(together, grads, strict=True):
                loss = update.loss.detach()
                good = (new_total + loss).isfinite()
                finite = good if finite is None else finite & good
                finite = self._trace_move(update, own, finite)
                for name, value in {**self._losses(update), **update.figures}.items():
                    sums[name] = sums[name] + value.detach() * size
                if update.name in sums:
                    sums[update.name] = torch.where(finite, sums[update.name], math.nan)

        state = self.run_updates(batches, move)
        with torch.no_grad():
            assert finite is not None
            for buffer, value in state.items():
                buffer.copy_(torch.where(finite, value, buffer))
            for name, value in sums.items():
                self.sums[name].copy_(value)
            result = torch.where(finite, mean, math.nan)
            self.moves.copy_(torch.where(finite, self.moves + 1, self.moves))
            self.total.copy_(torch.where(finite, new_total, math.nan))
        return (result,)

    def _trace_move(self, update: Update, grads: Grads, finite: Tensor) -> Tensor:
        """Clip and step by ``torch.where``; whether all is finite, the gradient's norm included."""
        before = nodes_so_far()
        used = [(p, grad) for p, grad in zip(self.params[update.name], grads, strict=True) if grad is not None]
        with torch.no_grad():
            go = finite if update.when is None else finite & (update.when != 0)
            if self.clip_norm is not None:
                norm = torch.stack([grad.norm() for _, grad in used]).norm()
                fine = norm.isfinite() if update.when is None else norm.isfinite() | (update.when == 0)
                finite, go = finite & fine, go & fine
                used = [(p, grad * (self.clip_norm / (norm + 1e-6)).clamp(max=1.0)) for p, grad in used]
            step = UPDATES[type(self.optimizers[update.name])]
            go = written(go)
            for p, grad in used:
                state, (index, group) = self._states[update.name, id(p)], self._groups[update.name, id(p)]
                new, new_state = step(p, grad, state, self._lrs[index], group)
                p.copy_(torch.where(go, new, p))
                for name, value in new_state.items():
                    state[name].copy_(torch.where(go, value, state[name]))
        self._move_nodes += nodes_so_far() - before
        return finite
