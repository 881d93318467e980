"""The maximum mean discrepancy against closed forms, and its null."""

from __future__ import annotations

import pytest
import torch

from pyrovae.errors import OptionError
from pyrovae.objectives.discrepancy import SCALES, kernel, mmd, mmd_null


def expected_kernel(shift, variance, width, dim):
    """E exp(-|a - b|^2 / 2 w^2) for a - b ~ N(shift, variance I): a Gaussian integral."""
    total = width**2 + variance
    return (width**2 / total) ** (dim / 2) * torch.exp(torch.tensor(-dim * shift**2 / (2 * total)))


def test_the_estimate_is_unbiased_for_gaussians_in_closed_form():
    torch.manual_seed(0)
    dim, shift, width, scale = 2, 0.5, 1.5, 0.7
    truth = (
        expected_kernel(0.0, 2.0, width, dim)
        + expected_kernel(0.0, 2 * scale**2, width, dim)
        - 2 * expected_kernel(shift, 1 + scale**2, width, dim)
    )
    found = torch.stack(
        [mmd(torch.randn(60, dim), shift + scale * torch.randn(40, dim), "gaussian", width) for _ in range(500)]
    )
    assert abs(float(found.mean() - truth)) < 3 * float(found.std()) / 500**0.5
    equal = torch.stack([mmd(torch.randn(30, dim), torch.randn(30, dim)) for _ in range(500)])
    assert abs(float(equal.mean())) < 3 * float(equal.std()) / 500**0.5 and bool((equal < 0).any())


def test_it_is_the_double_sum_over_pairs_of_different_rows():
    torch.manual_seed(0)
    one, other = torch.randn(4, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)

    def k(a, b):
        return sum(s * 6 / (s * 6 + float((a - b).square().sum())) for s in SCALES)

    within = sum(k(one[i], one[j]) for i in range(4) for j in range(4) if i != j) / 12
    others = sum(k(other[i], other[j]) for i in range(5) for j in range(5) if i != j) / 20
    between = sum(k(a, b) for a in one for b in other) / 20
    assert float(mmd(one, other)) == pytest.approx(within + others - 2 * between, rel=1e-12)


def test_equals_exceed_the_null_in_one_of_twenty_and_others_do():
    torch.manual_seed(0)
    null = [mmd_null(torch.randn(200, 2)) for _ in range(4)]
    below = [float(mmd(torch.randn(100, 2), torch.randn(100, 2)) < null[i % 4]) for i in range(100)]
    assert 0.85 < sum(below) / 100 < 1
    assert mmd(torch.randn(100, 2), 1 + torch.randn(100, 2)) > 5 * max(null)


def test_what_it_cannot_do_is_refused():
    one = torch.randn(3, 2)
    with pytest.raises(OptionError, match="kernel of the maximum mean discrepancy is called 'gausian'"):
        kernel(one, one, "gausian")
    for width in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="width is"):
            kernel(one, one, width=width)
    with pytest.raises(OptionError, match="1 and 3 rows"):
        mmd(one[:1], one)
