"""Structural similarity against plain loops over places and scales; what it refuses; and that no log p(x) is made of it."""

from __future__ import annotations

import math

import fits
import pytest
import torch

import pyrovae as pv
from pyrovae.distributions import StructuralSimilarity, ms_ssim
from pyrovae.distributions.likelihoods import build
from pyrovae.distributions.structural_similarity import num_scales
from pyrovae.errors import ContractError, OptionError

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def by_loops(a, b, window, scales):
    """Wang, Simoncelli and Bovik 2003, Eq. (7), one place after the other, of images as lists of lists."""
    half = window // 2
    line = [math.exp(-((i - half) ** 2) / (2 * 1.5**2)) for i in range(window)]
    line = [value / sum(line) for value in line]
    result = 1.0
    for scale in range(scales):
        height, width, factors = len(a), len(a[0]), []
        for top in range(height - window + 1):
            for left in range(width - window + 1):
                seen = [
                    (line[i] * line[j], a[top + i][left + j], b[top + i][left + j])
                    for i in range(window)
                    for j in range(window)
                ]
                mean_a, mean_b = sum(w * x for w, x, _ in seen), sum(w * y for w, _, y in seen)
                var_a, var_b = (sum(w * (v[k] - m) ** 2 for w, *v in seen) for k, m in ((0, mean_a), (1, mean_b)))
                covariance = sum(w * (x - mean_a) * (y - mean_b) for w, x, y in seen)
                factor = (2 * covariance + 0.03**2) / (var_a + var_b + 0.03**2)
                if scale == scales - 1:
                    factor *= (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
                factors.append(factor)
        result *= (sum(factors) / len(factors)) ** (WEIGHTS[scale] / sum(WEIGHTS[:scales]))
        a, b = (
            [
                [sum(image[2 * i + k][2 * j + m] for k in (0, 1) for m in (0, 1)) / 4 for j in range(width // 2)]
                for i in range(height // 2)
            ]
            for image in (a, b)
        )
    return result


@pytest.mark.parametrize(("shape", "window", "scales"), [((13, 12), 3, 3), ((8, 8), 7, 1), ((14, 15), 7, 2)])
def test_it_is_the_formula_in_plain_loops(shape, window, scales):
    torch.manual_seed(0)
    one = torch.rand(shape, dtype=torch.float64)
    other = (one + 0.3 * torch.rand(shape, dtype=torch.float64)).clamp(0, 1)
    assert num_scales(shape, window) == scales
    found = float(ms_ssim(one, other, window))
    assert found == pytest.approx(by_loops(one.tolist(), other.tolist(), window, scales), rel=1e-10)
    assert float(ms_ssim(other, one, window)) == pytest.approx(found, rel=1e-12)


def test_the_number_of_scales_follows_the_size():
    assert [num_scales((side, side), 11) for side in (11, 21, 22, 44, 88, 175, 176, 500)] == [1, 1, 2, 3, 4, 4, 5, 5]
    assert num_scales((3, 64, 22), 11) == 2


def test_the_energy_is_least_at_the_image_and_has_a_slope_everywhere():
    torch.manual_seed(0)
    image = torch.rand(4, 3, 12, 12)
    fn = StructuralSimilarity(image, 50.0, 5, 3)
    assert torch.allclose(fn.log_prob(image), torch.zeros(4), atol=1e-4) and bool((fn.log_prob(1 - image) < -20).all())
    apart = torch.stack([StructuralSimilarity(image[:, c], 50.0, 5).log_prob(1 - image[:, c]) for c in range(3)])
    torch.testing.assert_close(fn.log_prob(1 - image), apart.mean(0))
    assert fn.expand((2, 4)).log_prob(image).shape == (2, 4) and fn.sample((2,)).shape == (2, 4, 3, 12, 12)
    for x in (image, 1 - image, torch.zeros_like(image), torch.ones_like(image)):  # where factors are 1, below 0, or constants
        h = torch.logit(image).requires_grad_()
        (grad,) = torch.autograd.grad(StructuralSimilarity(h.sigmoid(), 50.0, 5, 3).log_prob(x).sum(), h)
        assert bool(grad.isfinite().all())


@pytest.mark.parametrize(
    ("shape", "text", "match"),
    [
        ((8, 8), "ms-ssim", r"window of 11 pixels does not fit into images of shape \(8, 8\).*'ms-ssim:window=7'"),
        ((64,), "ms-ssim", r"the shape of x is \(64,\)"),
        ((28, 28), "ms-ssim:window=4", "window of ms-ssim is 4; expected an odd"),
        ((28, 28), "ms-ssim:weight=0", "weight of ms-ssim is 0"),
    ],
)
def test_what_it_cannot_compare_is_refused(shape, text, match):
    with pytest.raises(OptionError, match=match):
        build(text, shape, "unit")
    with pytest.raises(OptionError, match="does not score real data"):
        build("ms-ssim", (28, 28), "real")


def test_a_pair_trains_by_it_and_has_no_log_p(grey):
    torch.manual_seed(0)
    pair = pv.pairs.vae(grey.spec, latent_dim=2, hidden=[16], likelihood="ms-ssim:window=5")
    run = fits.quiet(pair, grey, epochs=3, batch_size=100, lr=3e-3)
    assert run.records[-1]["train"] > run.records[0]["train"] and run.config["bound"] == "none"
    assert pv.sample(run, 2, mean=True)["x"].shape == (2, 8, 8)
    for options in ({}, {"method": "ais", "start": "prior"}):
        with pytest.raises(ContractError, match="StructuralSimilarity to an image, which nothing normalizes.*no log p"):
            pv.log_evidence(run, grey.test[:3], **options)


def test_the_l1_error_is_a_density():
    likelihood = build("laplace", (5,), "real", scale=0.5)
    h, x = torch.randn(3, 1, 5), torch.randn(3, 5)
    expected = (-(x - h[:, 0]).abs() / 0.5).sum(-1) - 5 * math.log(1.0)
    torch.testing.assert_close(likelihood(h).log_prob(x), expected)
    assert likelihood.is_density
