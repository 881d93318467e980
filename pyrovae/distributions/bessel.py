"""The modified Bessel function I_v of any order, as a logarithm that neither over- nor underflows, and its ratios."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["log_bessel_over_power", "mean_resultant_length"]

UNIFORM_ORDER = 30  # from which the uniform expansion's four terms err by less than 1e-9
DEBYE = (  # u_k(p) = p^k (c_0 + c_1 p^2 + ...) / denominator
    ((3, -5), 24),
    ((81, -462, 385), 1152),
    ((30375, -369603, 765765, -425425), 414720),
    ((4465125, -94121676, 349922430, -446185740, 185910725), 39813120),
)


def _uniform(order: float, x: Tensor) -> Tensor:
    """log(I_n(x) / x^n) of a large order n, for every x >= 0."""
    root = (1 + (x / order).square()).sqrt()
    p = 1 / root
    total = torch.ones_like(x)
    for k, (coefficients, denominator) in enumerate(DEBYE, start=1):
        polynomial = sum(c * p ** (2 * i) for i, c in enumerate(coefficients))
        total = total + p**k * polynomial / (denominator * order**k)
    power = order * (root - (1 + root).log() - math.log(order))
    return power - 0.5 * (math.log(2 * math.pi * order) + root.log()) + total.log()


def _descend(order: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """log(I_v(x) / x^v), and I_v+1(x) / (x I_v(x)), in float64: from a large order down by I_n-1 = I_n+1 + (2 n / x) I_n."""
    steps = max(0, math.ceil(UNIFORM_ORDER - order))
    high = order + steps
    log_high, log_next = _uniform(high, x), _uniform(high + 1, x)
    ratio = (log_next - log_high).exp()  # I_n+1 / (x I_n)
    log_value = log_high
    for n in range(steps):
        ratio = 1 / (2 * (high - n) + x.square() * ratio)
        log_value = log_value - ratio.log()
    return log_value, ratio


class _LogBessel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: float) -> Tensor:
        log_value, ratio = _descend(order, x.double())
        ctx.save_for_backward(x, ratio)
        ctx.order = order
        return log_value.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # d/dx log(I_v / x^v) = I_v+1 / I_v
        (x, _), dim = ctx.saved_tensors, 2 * (ctx.order + 1)
        return grad * mean_resultant_length(x, dim), None


class _Resultant(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: float) -> Tensor:
        ratio = _descend(dim / 2 - 1, x.double())[1]
        ctx.save_for_backward(x, ratio)
        ctx.dim = dim
        return (x * ratio).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, ratio = ctx.saved_tensors
        slope = 1 - (x * ratio).square() - (ctx.dim - 1) * ratio
        return grad * slope.to(grad.dtype), None


def log_bessel_over_power(order: float, x: Tensor) -> Tensor:
    """log(I_v(x) / x^v) for x >= 0, of x's shape and type; its gradient is I_v+1(x) / I_v(x).

    Of x = 0 it is -log(2^v Gamma(v + 1)). To 1e-9 in float64, whatever v > -1 and x.

    Args:
        order: v.
        x: any shape.

    References: NIST Digital Library of Mathematical Functions, (10.41.3) and (10.29.1).

    >>> [round(float(log_bessel_over_power(0.0, torch.tensor(x, dtype=torch.float64))), 6) for x in (0.0, 1.0, 1000.0)]
    [0.0, 0.235914, 995.627309]
    """
    return _LogBessel.apply(x, order)  # type: ignore[no-any-return]


def mean_resultant_length(x: Tensor, dim: float) -> Tensor:
    """A_d(x) = I_d/2(x) / I_d/2-1(x), the length of the mean of a von Mises-Fisher distribution of concentration x in R^d.

    Its gradient is 1 - A^2 - (d - 1) A / x, also at x = 0, where it is 1 / d.

    Args:
        x: concentrations, >= 0, any shape.
        dim: d.

    References: Mardia and Jupp, Directional Statistics, 2000, Appendix 1.

    >>> round(float(mean_resultant_length(torch.tensor(2.0), 3)), 6)  # coth 2 - 1 / 2
    0.537315
    """
    return _Resultant.apply(x, dim)  # type: ignore[no-any-return]
