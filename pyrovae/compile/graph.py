"""A Python function of tensors as a graph of tensor operations, and the graph as machine code."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx

__all__ = [
    "compile_differentiable",
    "compile_graph",
    "first_line",
    "make_graph",
    "nodes_so_far",
    "trace_graph",
    "preserve_tensors",
]

Function = Callable[..., Any]
# asserts of shapes cost 0.1 ms a step; whoever calls the code looks at the shapes first
INDUCTOR = {"fallback_random": True, "size_asserts": False, "alignment_asserts": False}
aten = torch.ops.aten


def _batch_norm(x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, *rest: float) -> Any:
    """The form of batch normalization whose schema says that it writes its running averages."""
    if mean is None or var is None:
        return aten._native_batch_norm_legit.no_stats(x, weight, bias, training, *rest)
    return aten._native_batch_norm_legit.default(x, weight, bias, mean, var, training, *rest)


DECOMPOSITIONS = {aten.native_batch_norm.default: _batch_norm}
# operators that write buffers, and whose schemas do not say so
HIDDEN_WRITERS = {aten.cudnn_batch_norm.default, aten.miopen_batch_norm.default}


def make_graph(function: Function, inputs: Sequence[Tensor], decompositions: Any = None) -> fx.GraphModule:
    """What ``make_fx`` makes of a function, in about half of its time: each operation's shapes are noted in one fake mode.

    By itself it makes a fake mode for each operation, and each of them keeps the stack of calls that led to it.
    """
    with tracing(TracingContext(FakeTensorMode())):
        return make_fx(function, decompositions)(*inputs)


def trace_graph(function: Function, inputs: Sequence[Tensor]) -> tuple[fx.GraphModule, list[Tensor]]:
    """The tensor operations that ``function(*inputs)`` runs, without the Python around them.

    Tensors that the function reaches by itself (parameters, buffers, constants) become further inputs of the graph, so that
    it sees what is later written into them.

    Returns:
        The graph, and those tensors, to be given to it after the inputs.

    Raises:
        RuntimeError: the function asks for the value of a tensor that depends on the inputs, or hides what it writes.
    """
    graph_module = make_graph(function, inputs, DECOMPOSITIONS)
    graph = graph_module.graph
    if hidden := HIDDEN_WRITERS & {node.target for node in graph.nodes}:
        raise RuntimeError(f"{hidden.pop()} writes buffers that a traced graph would not know of")
    _fail_by_nan(graph)
    graph.eliminate_dead_code()
    captured: dict[tuple, tuple[fx.Node, Tensor]] = {}
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    for node in list(graph.nodes):
        if node.op == "get_attr":
            tensor = getattr(graph_module, node.target)
            key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if tensor.numel() else (id(tensor),)
            if key not in captured:
                with graph.inserting_after(last):
                    last = graph.placeholder(f"captured_{len(captured)}")
                last.meta["val"] = tensor.detach()
                captured[key] = last, tensor
            node.replace_all_uses_with(captured[key][0])
            graph.erase_node(node)
    graph.lint()
    graph_module.recompile()
    return graph_module, [tensor for _, tensor in captured.values()]


def _fail_by_nan(graph: fx.Graph) -> None:
    """A factorization that fails gives NaN, which ends the step, where it raised an error, which Inductor cannot compile."""

    def call(target: Function, args: tuple, value: Tensor) -> fx.Node:
        node = graph.call_function(target, args)
        node.meta["val"] = value
        return node

    for check in graph.find_nodes(op="call_function", target=aten._linalg_check_errors.default):
        info = check.args[0]  # not 0 where it failed
        for output in [user for user in info.args[0].users if user.meta["val"].is_floating_point()]:
            value = output.meta["val"]
            with graph.inserting_before(output.next):
                failed = call(operator.getitem, info.args, info.meta["val"])
                failed = call(aten.ne.Scalar, (failed, 0), info.meta["val"] != 0)
                while failed.meta["val"].dim() < value.dim():
                    failed = call(aten.unsqueeze.default, (failed, -1), failed.meta["val"].unsqueeze(-1))
                filled = call(aten.masked_fill.Scalar, (output, failed, math.nan), value)
            output.replace_all_uses_with(filled, lambda user, filled=filled: user is not filled)
        graph.erase_node(check)


def nodes_so_far() -> int:
    """How many nodes the graph that is being traced has."""
    mode = get_proxy_mode()
    return 0 if mode is None else len(mode.tracer.graph.nodes)


@contextmanager
def preserve_tensors(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Tensors and random states afterwards are as they were: tracing runs the function once."""
    kept = [(tensor, tensor.detach().clone()) for tensor in tensors]
    devices = {tensor.device.index or 0 for tensor, _ in kept if tensor.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(devices)):
            yield
    finally:
        with torch.no_grad():
            for tensor, value in kept:
                tensor.copy_(value)


def fast_tanh(x: Tensor) -> Tensor:
    """tanh x by one exponential, and by its series where |x| < 1/4, where that would cancel; float32 errs by 5e-7 relatively.

    6,400 values take 2.4 microseconds where the library's take 14 (one thread, AVX-512).
    """
    square = x * x
    series = x * (1 + square * (-1 / 3 + square * (2 / 15 + square * (-17 / 315 + square * (62 / 2835)))))
    return torch.where(square < 1 / 16, series, 1 - 2 / (1 + (2 * x).exp()))


def _use_fast_tanh(module: fx.GraphModule) -> None:
    """Put :func:`fast_tanh` in place of tanh in float32 on CPU."""
    graph, parts = module.graph, make_graph(fast_tanh, [torch.zeros(1)])
    for node in graph.find_nodes(op="call_function", target=aten.tanh.default):
        value = node.meta["val"]
        if value.dtype == torch.float32 and value.device.type == "cpu":
            copies = dict(zip(parts.graph.find_nodes(op="placeholder"), node.args, strict=True))
            with graph.inserting_before(node):
                for part in [part for part in parts.graph.nodes if part.op == "call_function"]:
                    copies[part] = graph.node_copy(part, copies.__getitem__)
            node.replace_all_uses_with(copies[part])
            graph.erase_node(node)
    module.recompile()


def compile_graph(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Function:
    """Machine code of a graph by Inductor, for inputs of these very shapes, types and strides.

    Noise comes from torch's own generators, so that a seed gives the numbers that it gives without compilation.
    """
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx

    _use_fast_tanh(graph)
    with config.patch(INDUCTOR), torch.no_grad():
        return compile_fx(graph, list(inputs))


def compile_differentiable(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Function:
    """As :func:`compile_graph`, with compiled code of its gradient by those inputs that require one."""
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx

    with config.patch(INDUCTOR), torch.enable_grad():
        return compile_fx(graph, list(inputs))


def first_line(error: Exception) -> str:
    """An error in one line, for a log."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
