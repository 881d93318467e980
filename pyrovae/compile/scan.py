"""A loop over the steps of a sequence, cut in three: what no state enters runs for all steps at once, before the loop; what
enters no later step runs for all steps at once, after it; only the chain of states is left to the loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from pyrovae.compile.graph import first_line, make_graph
from pyrovae.compile.pieces import LINEAR, ancestors, cut_out, is_sum, is_tuple, rows_of
from pyrovae.core.step_plan import Over

__all__ = ["CONST", "EACH", "MOVING", "CannotSplit", "Scan"]

log = logging.getLogger("pyrovae")

CONST, EACH, MOVING = 0, 1, 2  # the same at all steps; of one step; what the state before a step enters
aten = torch.ops.aten
Compiler = Callable[[fx.GraphModule, Sequence[Tensor]], Callable[..., Any]]


class CannotSplit(Exception):
    """A step's graph that has to run whole, step by step."""


def _is_random(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _over_steps(module: fx.GraphModule, dims: tuple[int | None, ...], given: Sequence[Tensor]) -> fx.GraphModule:
    """The graph for all steps at once; of one step after the other where torch has no rule for an operator."""
    before = torch._C._functorch._is_vmap_fallback_enabled()
    torch._C._functorch._set_vmap_fallback_enabled(False)
    try:
        return make_graph(torch.func.vmap(module, dims), given)
    except RuntimeError as error:
        log.info("an operator of the step has no rule for all steps at once: %s", first_line(error))
    finally:
        torch._C._functorch._set_vmap_fallback_enabled(before)

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        count = next(len(value) for value, dim in zip(values, dims, strict=True) if dim == 0)
        made = [module(*(v if dim is None else v[t] for v, dim in zip(values, dims, strict=True))) for t in range(count)]
        return tuple(torch.stack(parts) for parts in zip(*made, strict=True))

    return make_graph(run, given)


def _columns(values: dict[fx.Node, Any], nodes: Sequence[fx.Node], num_steps: int) -> list[tuple[Tensor, ...]]:
    """The nodes' values at each step."""
    rows = [values[node].steps if isinstance(values[node], Over) else [values[node]] * num_steps for node in nodes]
    return list(zip(*rows, strict=True)) if rows else [()] * num_steps


class Scan:
    """The graph of one step, run over T steps.

        s_t+1, y_t = step(s_t, x_t, w),   t = 1, ..., T

    Args:
        module: the step. Its outputs begin with the next states; all writes are explicit, none in place.
        roles: of each input CONST (w), EACH (x_t) or MOVING (s_t).
        summed: places of those outputs whose sum over all steps is wanted, as of gradients of w.
        compiler: makes code of a graph and its examples.
        most: numbers of steps for which what runs for all steps at once is compiled; for others it runs uncompiled.

    Raises:
        CannotSplit: the step draws noise that depends on its state.
    """

    def __init__(
        self, module: fx.GraphModule, roles: Sequence[int], summed: Iterable[int], compiler: Compiler, most: int = 1
    ) -> None:
        self.compiler, self.most = compiler, most
        self.placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        self.carried = [node for node, role in zip(self.placeholders, roles, strict=True) if role == MOVING]
        self.summed = set(summed)
        self._codes: dict[tuple, Callable[..., Any]] = {}
        self._split(module, dict(zip(self.placeholders, roles, strict=True)))

    def _split(self, module: fx.GraphModule, kinds: dict[fx.Node, int]) -> None:
        calls = [node for node in module.graph.nodes if node.op == "call_function"]
        self._add_kinds(calls, kinds)
        self.kinds = kinds
        (output,) = [node for node in module.graph.nodes if node.op == "output"]
        self.outputs: list[fx.Node] = list(output.args[0])
        nexts = self.outputs[: len(self.carried)]
        needed = ancestors(nexts)
        random = ancestors([node for node in calls if _is_random(node)])
        core = {node for node in calls if kinds[node] == MOVING and node in needed}
        core |= {user for node in core if is_tuple(node) for user in node.users}
        rooms: dict[str, list[fx.Node]] = {"fixed": [], "drawn": [], "before": [], "core": [], "after": []}  # in this order
        for node in calls:
            if node in core:
                rooms["core"].append(node)
            elif kinds[node] == MOVING:
                rooms["after"].append(node)
            elif kinds[node] == CONST:
                rooms["fixed"].append(node)
            else:
                rooms["drawn" if node in random else "before"].append(node)
        self._sums = {i: _Sum(self.outputs[i], kinds) for i in self.summed}
        asked = [node for i, node in enumerate(self.outputs) if i not in self.summed and i >= len(nexts)]
        asked += [node for each in self._sums.values() for node in each.asked]
        wanted, pieces = {*asked, *nexts}, {}
        for name, nodes in reversed(rooms.items()):
            outputs = [node for node in nodes if node in wanted]
            if name == "core":
                outputs = [*nexts, *(node for node in outputs if node not in nexts)]
            pieces[name] = cut_out(module, nodes, outputs, first=self.carried if name == "core" else ())
            wanted |= set(pieces[name].inputs)
        self.pieces = pieces

    def _add_kinds(self, calls: Sequence[fx.Node], kinds: dict[fx.Node, int]) -> None:
        """What each node is to the loop, from what its inputs are."""
        for node in calls:
            kinds[node] = max((kinds[source] for source in node.all_input_nodes), default=CONST)
            if _is_random(node):
                if kinds[node] == MOVING:
                    raise CannotSplit(f"{node.target} draws noise that depends on the state")
                kinds[node] = EACH

    # ------------------------------------------------------------------------------------------------ running
    def __call__(self, inputs: Sequence[Tensor | Over], num_steps: int, backwards: bool = False) -> list[Any]:
        """The states after the last step, the outputs, and the states before each step.

        Outputs are an :class:`Over`, or a tensor where they are summed or the same at all steps.

        Args:
            inputs: in the order of the graph's; an :class:`Over` of what is of each step.
            num_steps: T.
            backwards: from the last step to the first.
        """
        values: dict[fx.Node, Any] = dict(zip(self.placeholders, inputs, strict=True))
        self._run_fixed(values)
        self._run_drawn(values, num_steps)
        self._run_over("before", values, num_steps)
        last = self._run_core(values, num_steps, backwards)
        self._run_over("after", values, num_steps)
        given = [
            self._sums[i](values, num_steps) if i in self.summed else values[node]
            for i, node in enumerate(self.outputs)
            if i >= len(self.carried)
        ]
        return [*last, *given, *(values[node] for node in self.carried)]

    def _run_fixed(self, values: dict[fx.Node, Any]) -> None:
        piece = self.pieces["fixed"]
        values.update(zip(piece.outputs, piece.module(*[values[node] for node in piece.inputs]), strict=True))

    def _run_drawn(self, values: dict[fx.Node, Any], num_steps: int) -> None:
        if piece := self.pieces["drawn"]:
            drawn = [piece.module(*column) for column in _columns(values, piece.inputs, num_steps)]
            for node, steps in zip(piece.outputs, zip(*drawn, strict=True), strict=True):
                values[node] = Over(steps=steps)

    def _run_over(self, name: str, values: dict[fx.Node, Any], num_steps: int) -> None:
        if piece := self.pieces[name]:
            given = [values[node].stacked if isinstance(values[node], Over) else values[node] for node in piece.inputs]
            dims = tuple(0 if isinstance(values[node], Over) else None for node in piece.inputs)
            code = self._codes.get((name, num_steps))
            if code is None:
                code = _over_steps(piece.module, dims, given)
                if sum(key[0] == name for key in self._codes) < self.most:
                    code = self._codes[name, num_steps] = self.compiler(code, given)
            values.update((node, Over(made)) for node, made in zip(piece.outputs, code(*given), strict=True))

    def _run_core(self, values: dict[fx.Node, Any], num_steps: int, backwards: bool) -> list[Tensor]:
        piece, size = self.pieces["core"], len(self.carried)
        state = [values.pop(node) for node in self.carried]
        if not state:
            return []
        columns = _columns(values, piece.inputs[size:], num_steps)
        seen, made = [], []
        code = self._codes.get(("core",))
        for column in reversed(columns) if backwards else columns:
            args = [*state, *column]
            if code is None:
                code = self._codes["core",] = self.compiler(piece.module, args)
            results = code(*args)
            seen.append(state)
            made.append(results)
            state = list(results[:size])
        for nodes, found in ((self.carried, seen), (piece.outputs, made)):
            for node, steps in zip(nodes, zip(*found, strict=True), strict=True):
                values.setdefault(node, Over(steps=steps[::-1] if backwards else steps))
        return state


class _Sum:
    """The sum over steps of a node: sum_t A_t B_t as one product, and operators that are linear applied to the sum."""

    def __init__(self, node: fx.Node, kinds: dict[fx.Node, int]) -> None:
        self.node, self.parts = node, []
        target = node.target
        if kinds[node] == CONST or node.op == "placeholder":
            self.how, self.asked = "leaf", [node]
        elif target in LINEAR and len(node.all_input_nodes) == 1:
            self.how, self.parts = "linear", [_Sum(node.args[0], kinds)]
        elif is_sum(node):
            self.how, self.parts = "add", [_Sum(part, kinds) for part in node.args]
        elif target is aten.mm.default and all(kinds[part] != CONST for part in node.args):
            self.how, (a, b) = "product", node.args
            self.transposed = a.target is aten.t.default
            self.asked = [rows_of(a.args[0]) if self.transposed else a, rows_of(b)]
        else:
            self.how, self.asked = "leaf", [node]
        if self.parts:
            self.asked = [each for part in self.parts for each in part.asked]

    def __call__(self, values: dict[fx.Node, Any], num_steps: int) -> Tensor:
        if self.how == "linear":
            return self.node.target(self.parts[0](values, num_steps), *self.node.args[1:], **self.node.kwargs)
        if self.how == "add":
            return self.parts[0](values, num_steps) + self.parts[1](values, num_steps)
        if self.how == "product":
            a, b = (values[node].stacked for node in self.asked)
            n, m = self.node.meta["val"].shape
            rows = a.reshape(-1, n).t() if self.transposed else a.transpose(0, 1).reshape(n, -1)
            return rows @ b.reshape(-1, m)
        value = values[self.node]
        return value.stacked.sum(0) if isinstance(value, Over) else value * num_steps
