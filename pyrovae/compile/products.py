"""Products of matrices that a graph adds up, made into one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import fx

__all__ = ["is_sum", "leaves_of", "merge_products"]

MIN_PRODUCTS = 4  # of one shape, in a sum
aten = torch.ops.aten


def is_sum(node: fx.Node) -> bool:
    """Whether a node adds two others."""
    return node.target is aten.add.Tensor and all(isinstance(arg, fx.Node) for arg in node.args) and not node.kwargs


def leaves_of(node: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
    """What a tree of sums adds up, and its sums, the root first; a sum that has another use counts as a leaf."""
    leaves, sums, pending = [], [node], list(node.args)
    while pending:
        arg = pending.pop(0)
        if is_sum(arg) and len(arg.users) == 1:
            sums.append(arg)
            pending += arg.args
        else:
            leaves.append(arg)
    return leaves, sums


def merge_products(module: fx.GraphModule) -> None:
    """sum_t A_t B_t as one product [A_1 .. A_T] [B_1; ..; B_T]: what the gradient of a loop's weight comes to."""
    graph = module.graph
    roots = [n for n in graph.nodes if is_sum(n) and not (len(n.users) == 1 and is_sum(next(iter(n.users))))]
    for root in roots:
        leaves, _ = leaves_of(root)
        alike: dict[tuple, list[tuple[fx.Node, fx.Node]]] = defaultdict(list)
        for leaf in leaves:
            if (product := _product(leaf)) is not None:
                a, b = (arg.meta["val"] for arg in product.args)
                alike[(_is_transposed(leaf), a.shape[0], b.shape[1], a.dtype)].append((leaf, product))
        terms = []
        for (turned, rows, columns, _), found in alike.items():
            if len(found) < MIN_PRODUCTS:
                continue
            with graph.inserting_before(root):
                left = _join([product.args[0] for _, product in found], 1)
                right = _join([product.args[1] for _, product in found], 0)
                whole = _insert_call(aten.mm.default, (left, right), (rows, columns))
                terms.append(_insert_call(aten.t.default, (whole,), (columns, rows)) if turned else whole)
            leaves = [leaf for leaf in leaves if leaf not in {leaf for leaf, _ in found}]
        if not terms:
            continue
        total, *rest = terms + leaves
        for term in rest:
            with graph.inserting_before(root):
                total = _insert_call(aten.add.Tensor, (total, term), tuple(root.meta["val"].shape))
        root.replace_all_uses_with(total)
    graph.eliminate_dead_code()
    graph.lint()
    module.recompile()


def _product(leaf: fx.Node) -> fx.Node | None:
    """The product of matrices that a leaf is, transposed or not; None where it is something else or serves others too."""
    while _transposes(leaf) and len(leaf.users) == 1:
        leaf = leaf.args[0]
    return leaf if leaf.target is aten.mm.default and len(leaf.users) == 1 else None


def _is_transposed(leaf: fx.Node) -> bool:
    """Whether a leaf is its product transposed an odd number of times."""
    return _transposes(leaf) and not _is_transposed(leaf.args[0])


def _transposes(node: fx.Node) -> bool:
    """Whether a node transposes a matrix, in any of the ways to say so."""
    if node.target is aten.permute.default:
        return list(node.args[1]) == [1, 0]
    return node.target is aten.t.default or (node.target is aten.transpose.int and {*node.args[1:]} in ({0, 1}, {-1, -2}))


def _join(matrices: list[fx.Node], dim: int) -> fx.Node:
    """Matrices side by side; transposed ones are joined before they are transposed, which leaves rows in one piece."""
    if all(_transposes(matrix) for matrix in matrices):
        joined = _join([matrix.args[0] for matrix in matrices], 1 - dim)
        return _insert_call(aten.t.default, (joined,), tuple(reversed(joined.meta["val"].shape)))
    shape = list(matrices[0].meta["val"].shape)
    shape[dim] = sum(matrix.meta["val"].shape[dim] for matrix in matrices)
    return _insert_call(aten.cat.default, (matrices, dim), tuple(shape))


def _insert_call(target: Any, args: tuple, shape: tuple[int, ...]) -> fx.Node:
    """A new node of the graph that its arguments are in, where that graph inserts, its value new and of this shape."""
    first = args[0][0] if isinstance(args[0], list) else args[0]
    node = first.graph.call_function(target, args)
    value = first.meta["val"]
    node.meta["val"] = value.t() if target is aten.t.default else value.new_empty(shape)
    return node
