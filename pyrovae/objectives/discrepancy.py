"""The maximum mean discrepancy of two samples, and what it is where both come from one distribution."""

from __future__ import annotations

import torch
from torch import Tensor

from pyrovae.errors import OptionError, nearest

__all__ = ["kernel", "mmd", "mmd_null"]

KERNELS = ("imq", "gaussian")
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the sum of inverse multiquadratics


def kernel(one: Tensor, other: Tensor, kind: str = "imq", width: float | None = None) -> Tensor:
    """k(a_i, b_j) of all pairs, (n, m), from (n, d) and (m, d).

        imq:       sum_s C_s / (C_s + |a - b|^2),   C_s = s 2 d width^2,   s in .1, .2, .5, 1, 2, 5, 10
        gaussian:  exp(-|a - b|^2 / (2 width^2))

    Args:
        one: a sample, (n, d).
        other: another one, (m, d).
        kind: "imq" or "gaussian".
        width: standard deviation that codes have; by default 1 for "imq" and sqrt(d) for "gaussian".

    Raises:
        OptionError: for another kind, or a width that is not above 0.

    References: Tolstikhin, Bousquet, Gelly and Schoelkopf, Wasserstein Auto-Encoders, 2018, Section 4.
    """
    if kind not in KERNELS:
        raise nearest("kernel of the maximum mean discrepancy", kind, KERNELS)
    if width is not None and not 0 < width < float("inf"):
        raise OptionError(f"width is {width!r}; expected a number above 0.")
    dim = one.shape[-1]
    squares = torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist").square()
    if kind == "gaussian":
        return torch.exp(-squares / (2 * (dim if width is None else width**2)))
    base = 2 * dim * (1.0 if width is None else width) ** 2
    total = torch.zeros_like(squares)
    for s in SCALES:  # one after another: all at once would hold seven matrices
        total = total + s * base / (s * base + squares)
    return total


def of_gram(gram: Tensor, size: int) -> Tensor:
    """The unbiased U-statistic from the kernel of both samples stacked, (n + m, n + m), 0-d."""
    within, between, others = gram[:size, :size], gram[:size, size:], gram[size:, size:]
    m = len(others)
    own = (within.sum() - within.diagonal().sum()) / (size * (size - 1))
    theirs = (others.sum() - others.diagonal().sum()) / (m * (m - 1))
    return own + theirs - 2 * between.mean()


def mmd(one: Tensor, other: Tensor, kind: str = "imq", width: float | None = None) -> Tensor:
    """The squared maximum mean discrepancy, 0-d, unbiased, so that it may be below 0.

        sum_{i != j} k(a_i, a_j) / n(n-1) + sum_{i != j} k(b_i, b_j) / m(m-1) - 2 sum_ij k(a_i, b_j) / nm

    Args:
        one: a sample, (n, d), of at least two rows.
        other: another one, (m, d), of at least two rows.
        kind: of :func:`kernel`.
        width: of :func:`kernel`.

    Raises:
        OptionError: for samples of fewer than two rows, and what :func:`kernel` refuses.

    References: Gretton, Borgwardt, Rasch, Schoelkopf and Smola, A Kernel Two-Sample Test, 2012, Lemma 6.

    >>> mmd(torch.zeros(2, 1), torch.zeros(3, 1))
    tensor(0.)
    """
    if min(len(one), len(other)) < 2:
        raise OptionError(f"the samples have {len(one)} and {len(other)} rows; the unbiased estimate needs two of each.")
    pool = torch.cat([one, other])
    return of_gram(kernel(pool, pool, kind, width), len(one))


def mmd_null(
    pool: Tensor, num_splits: int = 100, quantile: float = 0.95, kind: str = "imq", width: float | None = None
) -> Tensor:
    """A quantile of :func:`mmd` between the halves of 2n draws of one distribution, split at random, 0-d.

    Args:
        pool: (2n, d).
        num_splits: how many random splits.
        quantile: which quantile.
        kind: of :func:`kernel`.
        width: of :func:`kernel`.
    """
    gram = kernel(pool, pool, kind, width)
    orders = (torch.randperm(len(pool), device=pool.device) for _ in range(num_splits))
    return torch.stack([of_gram(gram[order][:, order], len(pool) // 2) for order in orders]).quantile(quantile)
