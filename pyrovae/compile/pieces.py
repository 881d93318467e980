"""Parts of a graph of tensor operations as graphs of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import fx

__all__ = ["LINEAR", "Piece", "ancestors", "cut_out", "is_sum", "is_tuple", "rows_of", "source_of"]

aten = torch.ops.aten
VIEWS = {
    aten.t.default,
    aten.view.default,
    aten.expand.default,
    aten.detach.default,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.transpose.int,
    aten.permute.default,
    aten.alias.default,
}
ROWS = {aten.view.default, aten._unsafe_view.default, aten.detach.default, aten.alias.default, aten.unsqueeze.default}
# operators that may come after a sum over steps instead of before it
LINEAR = (VIEWS - {aten.expand.default}) | {aten._unsafe_view.default, aten.clone.default, aten.neg.default}


def ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes and all that they are made of."""
    found, left = set(nodes), list(nodes)
    while left:
        for node in left.pop().all_input_nodes:
            if node not in found:
                found.add(node)
                left.append(node)
    return found


@dataclass
class Piece:
    """Some nodes of a graph as a graph of their own: which nodes it takes, and which it gives."""

    module: fx.GraphModule
    inputs: list[fx.Node]
    outputs: list[fx.Node]

    def __bool__(self) -> bool:
        return bool(self.outputs)


def cut_out(
    owner: fx.GraphModule, nodes: Sequence[fx.Node], outputs: Sequence[fx.Node], first: Sequence[fx.Node] = ()
) -> Piece:
    """These nodes, in the owner's order, as a graph that gives ``outputs``; its inputs begin with ``first``.

    What it reads of other nodes are never views: those are taken inside.
    """
    live = ancestors(outputs)
    inside = {node for node in nodes if node in live}
    graph, copies, inputs = fx.Graph(), {}, list(first)
    start = graph.placeholder("start")  # a place to insert placeholders before
    for node in first:
        copies[node] = _placeholder(graph, node, start)

    def reach(node: fx.Node) -> fx.Node:
        if node not in copies:
            if node in inside or source_of(node) is not node:
                copies[node] = graph.node_copy(node, reach)
            else:
                copies[node] = _placeholder(graph, node, start)
                inputs.append(node)
        return copies[node]

    for node in [*(node for node in nodes if node in inside), *outputs]:
        reach(node)
    graph.output(tuple(copies[node] for node in outputs))
    graph.erase_node(start)
    return Piece(fx.GraphModule(owner, graph), inputs, list(outputs))


def _placeholder(graph: fx.Graph, node: fx.Node, before: fx.Node) -> fx.Node:
    with graph.inserting_before(before):
        made = graph.placeholder(node.name)
    made.meta = dict(node.meta)
    return made


def source_of(node: fx.Node) -> fx.Node:
    """What a view is a view of, which is kept in its place."""
    while node.op == "call_function" and node.target in VIEWS and not is_tuple(node.all_input_nodes[0]):
        node = node.all_input_nodes[0]
    return node


def is_tuple(node: fx.Node) -> bool:
    """Whether a node gives several tensors."""
    return isinstance(node.meta.get("val"), (tuple, list))


def is_sum(node: fx.Node) -> bool:
    """Whether a node adds two tensors of its own shape."""
    if node.target is not aten.add.Tensor or len(node.args) != 2 or node.kwargs:
        return False
    return all(isinstance(part, fx.Node) and part.meta["val"].shape == node.meta["val"].shape for part in node.args)


def rows_of(node: fx.Node) -> fx.Node:
    """What holds the same numbers in the same order."""
    while node.op == "call_function" and node.target in ROWS and not is_tuple(node.all_input_nodes[0]):
        node = node.all_input_nodes[0]
    return node
