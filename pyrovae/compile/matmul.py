"""Which library multiplies matrices: MKL or oneDNN, for each shape by time, where both are exact to float32."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx

__all__ = ["MATMULS", "assign_products", "choose_products", "matmul_backend", "matmul_error"]

# torch's "medium" precision sends float32 products to oneDNN, which on processors with bf16 tiles may round its inputs:
# hence the check of the error
MATMULS = {"mkl": "highest", "onednn": "medium"}
TOLERANCE = 1e-5  # of a sum of K products of N(0, 1) numbers, in units of sqrt(K): float32 errs by 1e-6 to 5e-6, bf16 by 4e-3
REPEATS = 20
MAX_TIME_RATIO = 0.9  # what oneDNN's time must be under, of MKL's, which needs no change of library within the step
aten = torch.ops.aten
_PRODUCTS = {aten.mm.default: 0, aten.addmm.default: 1, aten.bmm.default: 0, aten.baddbmm.default: 1}


@contextmanager
def matmul_backend(name: str) -> Iterator[None]:
    """Products of float32 matrices by this library, within."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(MATMULS[name])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


# ------------------------------------------------------------------------------------------------ choosing
def _layout(node: fx.Node) -> tuple | None:
    """Shapes and strides of a product's two operands; None for what is no product of float32 matrices."""
    if node.op != "call_function" or node.target not in _PRODUCTS:
        return None
    first = _PRODUCTS[node.target]
    values = [arg.meta["val"] for arg in node.args[first : first + 2]]
    if any(value.dtype is not torch.float32 for value in values):
        return None
    return tuple((tuple(value.shape), tuple(value.stride())) for value in values)


def _operands(layout: tuple) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.empty_strided(*each).copy_(torch.randn(each[0], generator=generator)) for each in layout]


def matmul_error(layout: tuple, library: str) -> float:
    """Largest error of a product of N(0, 1) matrices against float64, in units of sqrt(K)."""
    left, right = _operands(layout)
    with matmul_backend(library):
        value = left @ right
    return float((value - left.double() @ right.double()).abs().max()) / math.sqrt(left.shape[-1])


def _seconds(layout: tuple) -> dict[str, float]:
    """Of one product by each library in turn, the best of a few: whatever else the machine does can only slow it."""
    left, right = _operands(layout)
    times: dict[str, list[float]] = {library: [] for library in MATMULS}
    for _ in range(REPEATS):
        for library, found in times.items():
            with matmul_backend(library):
                left @ right  # the first in a row pays for the change
                began = time.perf_counter()
                left @ right
                found.append(time.perf_counter() - began)
    return {library: min(found) for library, found in times.items()}


def choose_products(graph: fx.GraphModule, known: Collection[str] = ()) -> dict[str, str]:
    """The faster library for each product of a traced graph on the CPU, oneDNN only where its error is float32's.

    Args:
        graph: the traced graph.
        known: products that need no choice.
    """
    chosen = {}
    for layout in {layout for node in graph.graph.nodes if (layout := _layout(node)) and str(layout) not in known}:
        exact = torch.backends.mkldnn.is_available() and matmul_error(layout, "onednn") <= TOLERANCE
        seconds = _seconds(layout) if exact else {"mkl": 0.0, "onednn": 1.0}
        chosen[str(layout)] = "onednn" if seconds["onednn"] < MAX_TIME_RATIO * seconds["mkl"] else "mkl"
    return chosen


# ------------------------------------------------------------------------------------------------ assigning
@cache
def _operators() -> dict[str, Any]:
    """A product by each library as an operator that Inductor calls as it is, within ``matmul_backend("onednn")``."""
    from torch._inductor.kernel.mm_common import mm_args
    from torch._inductor.lowering import register_lowering
    from torch._inductor.select_algorithm import ExternKernelChoice

    def by_mkl(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
        torch._C._set_float32_matmul_precision("highest")
        torch.mm(a, b, out=out)
        torch._C._set_float32_matmul_precision("medium")
        return out

    def by_onednn(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
        return torch.mm(a, b, out=out)

    operators = {}
    for name, multiply in (("mkl", by_mkl), ("onednn", by_onednn)):
        torch.library.define(f"pyrovae::mm_{name}", "(Tensor a, Tensor b) -> Tensor")

        def empty(a: Tensor, b: Tensor) -> Tensor:
            return a.new_empty(a.shape[0], b.shape[1])

        def product(a: Tensor, b: Tensor, multiply: Any = multiply) -> Tensor:
            return multiply(a, b, out=a.new_empty(a.shape[0], b.shape[1]))

        torch.library.impl(f"pyrovae::mm_{name}", "CPU", product)
        torch.library.impl(f"pyrovae::mm_{name}", "Meta", empty)
        operators[name] = getattr(torch.ops.pyrovae, f"mm_{name}").default
        choice = ExternKernelChoice(multiply, None, name=f"pyrovae_mm_{name}", has_out_variant=True)

        def lower(a: Any, b: Any, choice: Any = choice) -> Any:
            *_, layout, a, b = mm_args(a, b)
            result = choice.bind((a, b), layout).output_node()
            return result[0] if isinstance(result, tuple) else result

        register_lowering(operators[name], type_promotion_kind=None)(lower)
    return operators


def assign_products(graph: fx.GraphModule, chosen: Mapping[str, str]) -> None:
    """Have each product of matrices made by its library, a bias added apart, which Inductor fuses with what follows."""
    operators = _operators()
    for node in list(graph.graph.nodes):
        if node.target not in (aten.mm.default, aten.addmm.default) or node.kwargs or str(_layout(node)) not in chosen:
            continue
        with graph.graph.inserting_before(node):
            result = graph.graph.call_function(operators[chosen[str(_layout(node))]], tuple(node.args[-2:]))
            result.meta["val"] = node.meta["val"]
            if node.target is aten.addmm.default:
                result = graph.graph.call_function(aten.add.Tensor, (result, node.args[0]))
                result.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(result)
        graph.graph.erase_node(node)
    graph.recompile()
