"""Shared fixtures, and one line for whoever runs the tests on a plain install."""

from __future__ import annotations

import gc
import importlib.util
import random
import sys
from pathlib import Path

import numpy as np
import pyro
import pytest
import torch

if importlib.util.find_spec("pyrovae.models") is None:
    pytest.exit("the local pyrovae/ hides the installed package: run the tests on `pip install -e .`, as `make test` does.", 4)

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are imported from the repository's root

import pyrovae as pv
from pyrovae.compile import compiled, function, graph, steps
from pyrovae.data.seeds import set_seed

MAX_COMPILATIONS = 4  # by Inductor, of 5 to 30 seconds each, in all tests together


def pytest_collection_modifyitems(items):
    """Refuse a fifth test that compiles."""
    compiling = [item.nodeid for item in items if item.get_closest_marker("inductor")]
    if len(compiling) > MAX_COMPILATIONS:
        raise pytest.UsageError(
            f"{len(compiling)} tests are marked inductor, {', '.join(compiling)}; at most {MAX_COMPILATIONS} may be: "
            "use the fixture `interpreted`, or backend='graph'."
        )


def pytest_collection_finish():
    """Leave what was imported out of each search for garbage, and search less often: an eighth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def replace_compiler(monkeypatch, compile_graph):
    for module in (compiled, function, steps):
        monkeypatch.setattr(module, "compile_graph", compile_graph)


@pytest.fixture(autouse=True)
def isolation(request, monkeypatch):
    """Each test starts from the same seed, an empty parameter store and one thread; one marked inductor compiles once."""
    torch.set_num_threads(1)
    pyro.clear_param_store()
    random.seed(0)
    np.random.seed(0)
    set_seed(0)
    marker = request.node.get_closest_marker("inductor")  # with the number of graphs, if not 1
    left = 0 if marker is None else next(iter(marker.args), 1)

    def compile_graph(*args):
        nonlocal left
        left -= 1
        if left < 0:  # by an exception that nobody takes for a compiler's trouble
            pytest.fail("this test compiles by Inductor: pass compile=False or backend='graph', or use `interpreted`.")
        return graph.compile_graph(*args)

    replace_compiler(monkeypatch, compile_graph)


@pytest.fixture
def interpreted(monkeypatch):
    """All of compilation but Inductor: the code of a traced graph is the graph itself. The list of graphs so "compiled"."""
    graphs = []

    def keep(graph, inputs):
        graph.recompile()  # its nodes have changed since it was traced
        idle = [node for node in graph.graph.nodes if node.op == "call_function" and not node.users]
        assert all(node.target._schema.is_mutable for node in idle), idle  # Inductor takes them for effects
        graphs.append(graph)
        return graph

    replace_compiler(monkeypatch, keep)
    # which library is faster is a matter of the machine's other work
    monkeypatch.setattr("pyrovae.compile.matmul._seconds", lambda layout: {"mkl": 1.0, "onednn": 1.0})
    return graphs


@pytest.fixture(scope="session")
def digits():
    """Drawn anew as binary images in each epoch."""
    return pv.data.load("digits")


@pytest.fixture(scope="session")
def grey():
    """The digits as they are."""
    return pv.data.load("digits", binarization="none")
