"""Traced graphs: what a function does, as operations that a compiler takes."""

from __future__ import annotations

import torch

from pyrovae.compile.graph import trace_graph


def factors(a, b):
    return torch.linalg.cholesky(a), torch.linalg.inv(a), torch.linalg.solve(a, b), torch.linalg.solve(a, b[..., 0])


def test_a_factorization_that_fails_is_nan_without_an_effect():
    torch.manual_seed(0)
    good, b = torch.eye(3) + 0.1 * torch.ones(4, 3, 3), torch.randn(4, 3, 2)
    graph, captured = trace_graph(factors, (good, b))
    assert not captured
    assert not [node for node in graph.graph.nodes if "check_errors" in str(node.target)]
    for value, expected in zip(graph(good, b), factors(good, b), strict=True):
        torch.testing.assert_close(value, expected)
    singular = good.clone()
    singular[1] = 0.0
    for value, expected in zip(graph(singular, b), factors(good, b), strict=True):
        assert value[1].isnan().all()
        torch.testing.assert_close(value[[0, 2, 3]], expected[[0, 2, 3]])


def test_shapes_are_noted_in_one_fake_mode():
    """Of which make_fx by itself makes one for each operation: half of the time that tracing takes."""
    graph, _ = trace_graph(factors, (torch.eye(3) + torch.zeros(4, 3, 3), torch.ones(4, 3, 2)))
    noted = [node.meta["val"] for node in graph.graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)]
    assert len(noted) > 5 and len({id(value.fake_mode) for value in noted}) == 1
