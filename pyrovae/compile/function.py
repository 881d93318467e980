"""A function of a batch, without gradients, as machine code: what evaluation repeats many times."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping

import pyro
import torch
from torch import Tensor

from pyrovae.compile.graph import compile_graph, first_line, trace_graph, untouched
from pyrovae.compile.matmul import assign_products, choose_products, matmul_backend

__all__ = ["compile_function"]

log = logging.getLogger("pyrovae")
Function = Callable[[Mapping[str, Tensor]], Tensor]


def compile_function(function: Function, batch: Mapping[str, Tensor], *, matmul: str | None = None) -> Function:
    """The function compiled for batches of this one's shapes; itself, and a line of the log, where that cannot be.

    Args:
        function: a batch to a tensor; what it draws is drawn anew at each call, from torch's generator.
        batch: an example.
        matmul: "mkl" or "onednn"; by default the faster one for each product that is exact to float32.
    """
    began = time.perf_counter()
    names = list(batch)
    given = [batch[name].contiguous() for name in names]

    def flat(*inputs: Tensor) -> tuple[Tensor]:
        return (function(dict(zip(names, inputs, strict=True))),)

    try:
        with torch.no_grad(), untouched(given), pyro.validation_enabled(False), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about what it uses itself
            graph, captured = trace_graph(flat, given)
            on_cpu = given[0].device.type == "cpu"
            products = choose_products(graph) if on_cpu and matmul is None else {}
            chosen = matmul or ("onednn" if "onednn" in products.values() else "mkl")
            if chosen == "onednn":
                assign_products(graph, products)
            code = compile_graph(graph, [*given, *captured])
    except Exception as error:  # whatever tracing and compiling may meet: the function itself serves
        log.info("not compiled: %s", first_line(error))
        return function
    log.info("compiled in %.1f s (%s)", time.perf_counter() - began, chosen)

    def run(batch: Mapping[str, Tensor]) -> Tensor:
        with torch.no_grad(), matmul_backend(chosen):
            return code(*[batch[name].contiguous() for name in names], *captured)[0]

    return run
