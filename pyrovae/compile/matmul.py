"""Which library multiplies matrices: MKL or oneDNN, by time, where both are exact to float32."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, fx

__all__ = ["MATMULS", "choose_matmul", "matmul_backend", "matmul_error"]

# torch's "medium" precision sends float32 products to oneDNN, which on processors with bf16 tiles may round its inputs:
# hence the check of the error
MATMULS = {"mkl": "highest", "onednn": "medium"}
TOLERANCE = 1e-5  # of a sum of K products of N(0, 1) numbers, in units of sqrt(K): float32 errs by 1e-6 to 5e-6, bf16 by 4e-3
REPEATS = 10

_PRODUCTS = {
    torch.ops.aten.mm.default: 0,
    torch.ops.aten.addmm.default: 1,
    torch.ops.aten.bmm.default: 0,
    torch.ops.aten.baddbmm.default: 1,
}


@contextmanager
def matmul_backend(name: str) -> Iterator[None]:
    """Products of float32 matrices by this library, within."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(MATMULS[name])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def products(graph: fx.GraphModule) -> dict[tuple, int]:
    """The matrix products of a traced graph: their operands' shapes and strides, and how often each occurs."""
    found: dict[tuple, int] = {}
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.target in _PRODUCTS:
            first = _PRODUCTS[node.target]
            values = [arg.meta["val"] for arg in node.args[first : first + 2]]
            if all(value.dtype is torch.float32 for value in values):
                key = tuple((tuple(value.shape), value.stride()) for value in values)
                found[key] = found.get(key, 0) + 1
    return found


def _operands(key: tuple, device: torch.device | str = "cpu") -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    result = []
    for shape, stride in key:
        operand = torch.empty_strided(shape, stride)
        operand.copy_(torch.randn(shape, generator=generator))
        result.append(operand.to(device))
    return result


def matmul_error(key: tuple, backend: str) -> float:
    """Largest error of a product of N(0, 1) matrices against float64, in units of sqrt(K)."""
    left, right = _operands(key)
    with matmul_backend(backend):
        value = left @ right
    return float((value - left.double() @ right.double()).abs().max()) / math.sqrt(left.shape[-1])


def _seconds(key: tuple, backend: str) -> float:
    """Of one product, the best of a few: whatever else the machine does can only slow it."""
    left, right = _operands(key)
    times = []
    with matmul_backend(backend):
        for _ in range(REPEATS + 1):
            began = time.perf_counter()
            left @ right
            times.append(time.perf_counter() - began)
    return min(times[1:])


def choose_matmul(graph: fx.GraphModule) -> str:
    """The faster library for all float32 products of a graph on the CPU together, oneDNN only where its error is float32's."""
    keys = products(graph)
    if not torch.backends.mkldnn.is_available() or any(matmul_error(key, "onednn") > TOLERANCE for key in keys):
        return "mkl"
    seconds = {
        name: sum(times * min(_seconds(key, name) for _ in range(3)) for key, times in keys.items()) for name in MATMULS
    }
    return min(seconds, key=seconds.__getitem__)
