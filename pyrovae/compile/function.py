"""A function of a batch, without gradients, as machine code: what evaluation repeats many times."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyro
import torch
from torch import Tensor, fx

from pyrovae.compile.graph import compile_graph, first_line, preserve_tensors, trace_graph
from pyrovae.compile.matmul import assign_products, choose_products, matmul_backend
from pyrovae.compile.replay import replayed
from pyrovae.compile.steps import StepCode

__all__ = ["Code", "compile_function"]

log = logging.getLogger("pyrovae")
Function = Callable[[Mapping[str, Tensor]], Any]


def _matters(node: fx.Node) -> bool:
    """Whether a node whose result nobody uses does something all the same; drawing noise does not."""
    if not node.is_impure(impure_random=False):
        return False
    tags = getattr(node.target, "tags", ())
    fills = torch.Tag.nondeterministic_seeded in tags and isinstance(first := node.args[0], fx.Node)
    return not (fills and first.op == "call_function" and len(first.users) == 1)  # a new tensor, filled and left


def compile_function(function: Function, batch: Mapping[str, Tensor], products: dict[str, str] | None = None) -> Function:
    """The function compiled for batches of this one's shapes; itself, and a line of the log, where that cannot be.

    Args:
        function: a batch to a tensor or a tuple of tensors; what it draws and uses is drawn anew
            at each call, from torch's generator.
        batch: an example.
        products: the library, "mkl" or "onednn", of each product of matrices by shapes and strides. For one that it lacks the
            faster library that is exact to float32 is found by timing, and entered.
    """
    began = time.perf_counter()
    names = list(batch)
    given = [batch[name].contiguous() for name in names]
    single, products = True, {} if products is None else products

    def flat(*inputs: Tensor) -> tuple[Tensor, ...]:
        nonlocal single
        result = function(dict(zip(names, inputs, strict=True)))
        single = isinstance(result, Tensor)
        return (result,) if single else result

    try:
        with torch.no_grad(), preserve_tensors(given), pyro.validation_enabled(False), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about what it uses itself
            graph, captured = trace_graph(flat, given)
            graph.graph.eliminate_dead_code(_matters)
            if given[0].device.type == "cpu":
                products |= choose_products(graph, products)
            chosen = "onednn" if "onednn" in products.values() else "mkl"
            if chosen == "onednn":
                assign_products(graph, products)
            code = replayed(compile_graph(graph, [*given, *captured]), given, captured)
    except Exception as error:  # whatever tracing and compiling may meet: the function itself serves
        log.info("not compiled: %s", first_line(error))
        return function
    log.info("compiled in %.1f s (%s)", time.perf_counter() - began, chosen)

    def run(batch: Mapping[str, Tensor]) -> Tensor:
        with torch.no_grad(), matmul_backend(chosen):
            result = code(*[batch[name].contiguous() for name in names], *captured)
            return result[0] if single else result

    return run


@dataclass
class Code:
    """What has been compiled for a data set, and the library of each product of matrices, which a resumed run repeats."""

    functions: dict[tuple, Function] = field(default_factory=dict)
    products: dict[str, str] = field(default_factory=dict)
    steps: StepCode = field(default_factory=StepCode)  # of a pair in steps, whose step is compiled and not all of them

    def get(self, function: Function, batch: Mapping[str, Tensor], most: int = 1, draws: int = 0) -> Function:
        """The function compiled for these shapes and draws; itself where as many as ``most`` were compiled for others."""
        shape = (draws, *((name, value.shape) for name, value in batch.items()))
        if shape not in self.functions:
            if len(self.functions) == most:
                return function
            self.functions[shape] = compile_function(function, batch, self.products)
        return self.functions[shape]
