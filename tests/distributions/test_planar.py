"""The petals and the swiss roll: densities by quadrature over the plane, draws, refusals."""

from __future__ import annotations

import math

import pytest
import torch

from pyrovae.distributions import PetalsPrior, SwissRoll, SwissRollPrior
from pyrovae.errors import OptionError


def plane(side, num):
    """Cells of a square around the origin, (num^2, 2), and the area of one."""
    ticks = torch.linspace(-side, side, num, dtype=torch.float64)
    return torch.cartesian_prod(ticks, ticks), (2 * side / (num - 1)) ** 2


def test_the_petals_integrate_to_one_and_turn_into_each_other():
    prior = PetalsPrior().double()()
    cells, area = plane(4.0, 321)
    assert float(prior.log_prob(cells).exp().sum()) * area == pytest.approx(1.0, abs=2e-4)
    turn = 2 * math.pi / 10
    turned = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], dtype=torch.float64)
    z = torch.randn(50, 2, dtype=torch.float64)
    torch.testing.assert_close(prior.log_prob(z @ turned.T), prior.log_prob(z), rtol=1e-5, atol=1e-5)
    one = PetalsPrior(num_modes=1).double()()
    torch.testing.assert_close(one.mean, torch.tensor([1.4, 0.0], dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(one.variance, torch.tensor([0.25, 0.0025], dtype=torch.float64), atol=1e-6, rtol=0)


def test_the_blurred_roll_integrates_to_one_and_its_draws_lie_where_its_density_is():
    torch.manual_seed(0)
    roll = SwissRoll(0.3, torch.zeros((), dtype=torch.float64))
    cells, area = plane(4.5, 91)
    density = roll.log_prob(cells).exp()
    assert float(density.sum()) * area == pytest.approx(1.0, abs=1e-6)
    drawn = roll.expand(torch.Size([10_000])).sample()
    for power in (1, 2):
        moments = (density.unsqueeze(1) * cells**power).sum(0) * area
        error = (drawn**power).std(0) / len(drawn) ** 0.5
        assert bool(((drawn**power).mean(0) - moments).abs().le(4 * error).all())


def test_the_roll_is_a_curve_of_radius_below_three_with_u_uniform():
    torch.manual_seed(0)
    drawn = SwissRollPrior(0.02)().sample(torch.Size([2000]))
    t = drawn.norm(dim=-1) / 3
    assert float(t.square().mean()) == pytest.approx(0.5, abs=0.03) and float(t.max()) < 1.03


def test_what_makes_no_sense_is_refused():
    for blur in (-0.1, 0.0, 0.001, math.nan, math.inf):
        with pytest.raises(OptionError, match="blur is"):
            SwissRollPrior(blur)
    for name in ("num_modes", "radius", "radial", "tangential"):
        for value in (0, -1.0, math.nan):
            with pytest.raises(OptionError, match=f"{name} is"):
                PetalsPrior(**{name: value})
