"""One step of a sequence as machine code, for every length: the loop stays in Python, and autograd goes through it."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from pyrovae.compile.graph import compile_differentiable, compile_graph, first_line, trace_graph
from pyrovae.compile.scan import CONST, EACH, MOVING, CannotSplit
from pyrovae.compile.scan_gradient import DifferentiableScan

__all__ = ["StepCode"]

log = logging.getLogger("pyrovae")
Inputs = Mapping[str, Any]


def role_of(part: str) -> int:
    """What a part of a step's inputs is to a loop over steps."""
    return MOVING if part in ("state", "own") else CONST if part == "whole" else EACH


class StepCode:
    """Code of a step, ``code(step, inputs)``, of inputs of so many shapes as it is told; of others the step runs eagerly.

    Args:
        backend: "inductor", or "graph" (traced, not compiled).
        most: shapes that are compiled.

    Attributes:
        facts: of the step's sites, which the step leaves here when it is run.
        seconds: what tracing and compiling took.
        reason: why a step was not compiled, else None.
    """

    def __init__(self, backend: str = "inductor", most: int = 1) -> None:
        self.backend, self.most = backend, most
        self.codes: dict[tuple, Any] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        self.seconds, self.reason = 0.0, None
        self._packed: tuple[Any, Tensor | None] = None, None
        self._scans: dict[tuple, tuple | None] = {}

    @property
    def made(self) -> int:
        """How many shapes it has made code for."""
        return len(self.codes) + sum(scan is not None for scan in self._scans.values())

    def scan(self, step: Callable[[Inputs], Any], inputs: Inputs, num_steps: int) -> Any:
        """All steps at once, differentiably: the last states, and the other results with the steps first.

        Args:
            step: makes of its inputs a dict of results that begins with ``state`` and ``own``.
            inputs: of all steps; what is not ``state``, ``own`` or ``whole`` has the steps first.
            num_steps: T.

        Returns:
            None where the steps have to run one after another, whole.
        """
        if not torch.is_grad_enabled() or self.reason is not None:
            return None
        leaves, spec = pytree.tree_flatten(inputs)
        counts = [
            (role, len(pytree.tree_leaves(part))) for role, part in zip(map(role_of, inputs), inputs.values(), strict=True)
        ]
        roles = [role for role, count in counts for _ in range(count)]
        leaves = [value if role == EACH else value.contiguous() for value, role in zip(leaves, roles, strict=True)]
        one = [value[0] if role == EACH else value for value, role in zip(leaves, roles, strict=True)]
        signature = (spec, *((value.shape, value.stride(), value.dtype, value.requires_grad) for value in one))
        if signature not in self._scans:
            if len(self._scans) >= self.most:
                return None
            began = time.perf_counter()
            try:
                self._scans[signature] = self._make_scan(step, leaves, roles, spec)
            except CannotSplit as error:
                log.info("the steps of the sequence are run one by one: %s", error)
                self._scans[signature] = None
            self.seconds += time.perf_counter() - began
        if (made := self._scans[signature]) is None:
            return None
        scan, captured, out_spec = made
        return pytree.tree_unflatten(scan([*leaves, *captured], num_steps), out_spec)

    def _make_scan(self, step: Callable[[Inputs], Any], leaves: list[Tensor], roles: list[int], spec: Any) -> tuple:
        """The scan of a step, what else it captured, and the form of its results."""
        out_spec = None
        examples = [value.detach()[0] if role == EACH else value.detach() for value, role in zip(leaves, roles, strict=True)]

        def traced(*values: Tensor) -> tuple[Tensor, ...]:
            nonlocal out_spec
            results, out_spec = pytree.tree_flatten(step(pytree.tree_unflatten(list(values), spec)))
            return tuple(results)

        with torch.random.fork_rng(), warnings.catch_warnings(), pyro.validation_enabled(False):
            warnings.simplefilter("ignore")  # torch's, about what it uses itself
            with torch.no_grad():
                graph, captured = trace_graph(traced, examples)
            wanted = [value.requires_grad for value in [*leaves, *captured]]
            roles = [*roles, *[CONST] * len(captured)]
            compiler = compile_graph if self.backend == "inductor" else lambda graph, inputs: graph
            scan = DifferentiableScan(graph, [*examples, *captured], roles, wanted, compiler, self.most)
        return scan, captured, out_spec

    def begin(self) -> None:
        """Forget what belonged to the pass before: its graph is gone."""
        self._packed = None, None

    def _pack(self, params: list[Tensor]) -> Tensor:
        """All parameters as one vector, so that autograd adds up one gradient a step and not one for each of them."""
        key = (torch.is_grad_enabled(), *((id(p), p._version) for p in params))
        if self._packed[0] != key:
            self._packed = key, torch.cat([p.reshape(-1) for p in params])
        packed = self._packed[1]
        assert packed is not None
        return packed

    def __call__(self, step: Callable[[Inputs], Any], inputs: Inputs) -> Any:
        """What the step makes of its inputs, differentiably where gradients are wanted."""
        flat, spec = pytree.tree_flatten(inputs)
        flat = [value.contiguous() for value in flat]
        signature = (torch.is_grad_enabled(), spec, *((value.shape, value.dtype) for value in flat))
        if signature not in self.codes:
            if self.made >= self.most or self.reason is not None:
                return step(inputs)
            began = time.perf_counter()
            try:
                self.codes[signature] = self._compile(step, inputs, flat, spec)
            except Exception as error:  # whatever tracing and compiling may meet: the eager step serves all
                self.reason = first_line(error)
                log.warning("the step of the sequence could not be compiled and runs eagerly: %s", self.reason)
                return step(inputs)
            self.seconds += time.perf_counter() - began
        code, params, captured, out_spec = self.codes[signature]
        packed = [self._pack(params)] if params else []
        return pytree.tree_unflatten(list(code(*flat, *packed, *captured)), out_spec)

    def _compile(self, step: Callable[[Inputs], Any], inputs: Inputs, flat: list[Tensor], spec: Any) -> tuple:
        """The code of the step, the parameters that it takes packed, what else it captured, and the form of its results."""
        out_spec = None

        def traced(*values: Tensor) -> tuple[Tensor, ...]:
            nonlocal out_spec
            results, out_spec = pytree.tree_flatten(step(pytree.tree_unflatten(list(values), spec)))
            return tuple(results)

        wanted = torch.is_grad_enabled()
        with torch.random.fork_rng(), warnings.catch_warnings(), pyro.validation_enabled(False):
            warnings.simplefilter("ignore")  # torch's, about what it uses itself
            with torch.no_grad():
                graph, captured = trace_graph(traced, [value.detach() for value in flat])
            if self.backend == "graph":
                return graph, [], captured, out_spec
            if not wanted:
                return compile_graph(graph, [*flat, *captured]), [], captured, out_spec
            graph, params, others = packed_parameters(graph, flat, captured)
            differentiable = {id(value) for part in ("state", "own", "each") for value in pytree.tree_leaves(inputs[part])}
            leaves = pytree.tree_leaves(inputs)
            examples = [
                value.detach().requires_grad_((id(leaf) in differentiable or leaf.requires_grad) and value.is_floating_point())
                for leaf, value in zip(leaves, flat, strict=True)
            ]
            packed = [torch.cat([p.reshape(-1) for p in params])] if params else []
            return compile_differentiable(graph, [*examples, *packed, *others]), params, others, out_spec


def packed_parameters(
    graph: fx.GraphModule, flat: list[Tensor], captured: list[Tensor]
) -> tuple[fx.GraphModule, list[Tensor], list[Tensor]]:
    """The graph that takes its trainable float32 parameters as one vector, these parameters, and what else it captured."""
    trained = [value.requires_grad and value.dtype == torch.float32 for value in captured]
    params = [value for value, is_trained in zip(captured, trained, strict=True) if is_trained]
    others = [value for value, is_trained in zip(captured, trained, strict=True) if not is_trained]
    if not params:
        return graph, [], captured

    def unpacked(*values: Tensor) -> Any:
        given, packed, rest = values[: len(flat)], values[len(flat)], iter(values[len(flat) + 1 :])
        parts = iter(packed.split([p.numel() for p in params]))
        shapes = iter([p.shape for p in params])
        own = [next(parts).view(next(shapes)) if is_trained else next(rest) for is_trained in trained]
        return graph(*given, *own)

    with torch.no_grad():
        packed = torch.cat([p.reshape(-1) for p in params])
        again, _ = trace_graph(unpacked, [*(value.detach() for value in flat), packed, *others])
    return again, params, others
