"""A long graph of an unrolled loop, compiled step by step: each distinct block once, however often it occurs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from pyrovae.compile.graph import compile_graph
from pyrovae.compile.products import is_sum, leaves_of

__all__ = ["compile_rolled", "repeats"]

MAX_PERIOD, MIN_REPEATS, MIN_NODES = 800, 4, 60  # of a stretch that repeats itself
MAX_BLOCK_TURNS, MAX_BLOCK_NODES = 4, 600  # of a loop in one block
MIN_SINGLE_NODES = 15  # nodes that are not worth compiling when they occur once
aten = torch.ops.aten
VIEWS = {
    aten.t.default,
    aten.view.default,
    aten._unsafe_view.default,
    aten.expand.default,
    aten.detach.default,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.transpose.int,
    aten.permute.default,
    aten.alias.default,
}


def _signature(node: fx.Node) -> tuple:
    """What a node does, whatever it does it to."""

    def plain(arg: Any) -> Any:
        if isinstance(arg, fx.Node):
            value = arg.meta.get("val")
            return (tuple(value.shape), value.stride(), value.dtype) if isinstance(value, Tensor) else "?"
        return repr(arg)

    return str(node.target), *[repr(fx.node.map_arg(arg, plain)) for arg in (node.args, node.kwargs)]


def repeats(signatures: Sequence[Any]) -> list[tuple[int, int, int]]:
    """Where a sequence repeats itself: (start, period, times), none overlapping.

    >>> repeats("xx" + "abcdef" * 12 + "yz")
    [(2, 6, 12)]
    """
    following: list[int | None] = [None] * len(signatures)
    last: dict[Any, int] = {}
    for i in reversed(range(len(signatures))):
        following[i] = last.get(signatures[i])
        last[signatures[i]] = i
    found, i = [], 0
    while i < len(signatures):
        j = following[i]
        while j is not None and j - i <= MAX_PERIOD:
            period, same = j - i, 0
            while j + same < len(signatures) and signatures[i + same] == signatures[j + same]:
                same += 1
            times = same // period + 1
            if times >= MIN_REPEATS and period * times >= MIN_NODES:
                found.append((i, period, times))
                i += period * times - 1
                break
            j = following[j]
        i += 1
    return found


def _normalize(module: fx.GraphModule) -> None:
    """Leave no step number inside a loop: x[:, t] is taken before it, and its gradients are stacked after it."""
    graph = module.graph
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    for node in list(graph.nodes):
        if node.target is aten.select.int:
            (last if node.args[0].op == "placeholder" else node.args[0]).append(node)
    erased: set[fx.Node] = set()
    for node in reversed(list(graph.nodes)):
        if node in erased or not is_sum(node):
            continue
        leaves, sums = leaves_of(node)
        first = leaves[0]
        if any(leaf.target is not aten.select_backward.default or leaf.args[1:3] != first.args[1:3] for leaf in leaves):
            continue
        sizes, dim = first.args[1:3]
        grads = {leaf.args[3]: leaf.args[0] for leaf in leaves}
        if len(grads) == len(leaves):
            with graph.inserting_before(node):
                rest = len(grads) < sizes[dim] and graph.call_function(aten.zeros_like.default, (first.args[0],))
                if rest:
                    rest.meta["val"] = first.args[0].meta["val"]
                parts = [grads.get(i, rest) for i in range(sizes[dim])]
                stack = graph.call_function(aten.stack.default, (parts, dim))
                stack.meta["val"] = node.meta["val"]
            node.replace_all_uses_with(stack)
            for unused in [*sums, *leaves]:
                graph.erase_node(unused)
                erased.add(unused)
    graph.lint()
    module.recompile()


class _Block:
    """A stretch of a graph's nodes as a graph of its own; views of what comes from outside are taken inside."""

    def __init__(self, nodes: list[fx.Node]) -> None:
        self.nodes, self.inside = nodes, set(nodes)
        self.graph = fx.Graph()
        self.copies: dict[fx.Node, fx.Node] = {}
        self.inputs: list[fx.Node] = []
        self.order: list[Any] = []
        self.first = self.graph.placeholder("start")  # a place to insert placeholders after
        for node in nodes:
            self._copy(node)
        self.graph.erase_node(self.first)

    def _copy(self, node: fx.Node) -> fx.Node:
        copy = self.graph.node_copy(node, self._reach)
        self.copies[node] = copy
        return copy

    def _reach(self, node: fx.Node) -> fx.Node:
        if node not in self.copies:
            if node.target in VIEWS:
                self._copy(node)
            else:
                with self.graph.inserting_before(self.first):
                    self.copies[node] = self.graph.placeholder(f"input_{len(self.inputs)}")
                self.copies[node].meta = dict(node.meta)
                self.inputs.append(node)
        return self.copies[node]

    def finish(self, outputs: list[int]) -> None:
        """Give the values of the nodes at these places."""
        self.outputs = [self.nodes[i] for i in outputs]
        self.graph.output(tuple(self.copies[node] for node in self.outputs))
        self.graph.eliminate_dead_code()
        used = [node for node in self.inputs if self.copies[node].users]
        for node in set(self.inputs) - set(used):
            self.graph.erase_node(self.copies[node])
        self.inputs = used

    def key(self) -> tuple:
        """The same for blocks that the same code can run."""
        place = {node: i for i, node in enumerate(self.graph.nodes)}

        def plain(arg: Any) -> Any:
            return ("node", place[arg]) if isinstance(arg, fx.Node) else arg

        def shape(node: fx.Node) -> Any:
            value = node.meta["val"]
            return tuple(value.shape), value.stride(), value.dtype

        steps = [
            (str(node.target), repr(fx.node.map_arg((node.args, node.kwargs), plain)))
            if node.op != "placeholder"
            else shape(node)
            for node in self.graph.nodes
        ]
        return tuple(steps)


def _functional(module: fx.GraphModule) -> None:
    """x.f_() as x.f() where x is a value that nothing else reads, as in the gradient of a norm.

    Raises:
        RuntimeError: the graph writes into part of a tensor, which blocks that share it could not see.
    """
    for node in list(module.graph.nodes):
        schema = getattr(node.target, "_schema", None) if node.op == "call_function" else None
        if schema is None or not schema.is_mutable:
            continue
        x = node.args[0]
        if x.op == "placeholder" or "empty" in str(x.target):
            continue
        made = getattr(x.target, "_schema", None)  # an element of a tuple, which may be a view, has none
        fresh = made is not None and not any(each.alias_info for each in made.returns)
        name, _, overload = node.target.__name__.partition(".")
        pure = getattr(getattr(aten, name[:-1], None), overload, None) if name.endswith("_") else None
        if not fresh or pure is None or list(x.users) != [node]:
            raise RuntimeError(f"{node.target} writes into part of a tensor, so the loop cannot be compiled in blocks")
        node.target = pure


def _example(node: fx.Node) -> Tensor:
    value = node.meta["val"]
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device).zero_()


def _together(period: int, times: int) -> int:
    """How many turns of a loop go into one block: fewer calls against longer compilation."""
    return max(n for n in range(1, MAX_BLOCK_TURNS + 1) if times % n == 0 and (n == 1 or period * n <= MAX_BLOCK_NODES))


def _stretches(nodes: list[fx.Node]) -> tuple[list[_Block], list[int]]:
    """The nodes in order as blocks, and the region that each repeats in: a number below 0 for the rest."""
    regions = repeats([_signature(node) for node in nodes])
    blocks, kinds, done = [], [], 0
    for i, (start, period, times) in enumerate([*regions, (len(nodes), 0, 0)]):
        if start > done:
            blocks.append(_Block(nodes[done:start]))
            kinds.append(-1 - i)
        size = period * _together(period, times)
        for begin in range(start, start + period * times, size or 1):
            blocks.append(_Block(nodes[begin : begin + size]))
            kinds.append(i)
        done = start + period * times
    return blocks, kinds


def compile_rolled(module: fx.GraphModule) -> Callable[..., Any]:
    """The function of a traced graph, its repeated stretches compiled once each and run in a loop.

    Raises:
        RuntimeError: the graph writes into part of a tensor, which blocks that share it could not see.
    """
    _functional(module)
    _normalize(module)
    nodes = [node for node in module.graph.nodes if node.op == "call_function"]
    (output,) = [node for node in module.graph.nodes if node.op == "output"]
    blocks, kinds = _stretches(nodes)
    needed = set(output.all_input_nodes).union(*[block.inputs for block in blocks])
    wanted: dict[int, set[int]] = defaultdict(set)  # a block gives what any block of its region must give
    for block, kind in zip(blocks, kinds, strict=True):
        wanted[kind] |= {j for j, node in enumerate(block.nodes) if node in needed}
    for block, kind in zip(blocks, kinds, strict=True):
        block.finish(sorted(wanted[kind]))
    keys = [block.key() for block in blocks]
    times = Counter(keys)
    code: dict[tuple, Callable[..., Any]] = {}
    slots = {node: i for i, node in enumerate(n for n in module.graph.nodes if n.op == "placeholder")}
    program = []
    for block, key in zip(blocks, keys, strict=True):
        if key not in code:
            graph = fx.GraphModule(module, block.graph)
            worth = times[key] >= MIN_REPEATS or len(block.nodes) > MIN_SINGLE_NODES
            code[key] = compile_graph(graph, [_example(node) for node in block.inputs]) if worth else graph
        for node in block.outputs:
            slots[node] = len(slots)
        program.append((code[key], [slots[node] for node in block.inputs]))
    results = [slots[node] for node in output.args[0]]

    def run(*args: Tensor) -> tuple[Tensor, ...]:
        values = list(args)
        for function, places in program:
            values += function(*[values[place] for place in places])
        return tuple(values[place] for place in results)

    return run
