"""Appearance and perspective: maps and their inverses, one blob whose map is found, and images that are moved by rule."""

from __future__ import annotations

import math

import pytest
import torch
from making import made

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.data import DataSpec, load, transform
from pyrovae.errors import OptionError
from pyrovae.nets import affine_flow, affine_matrix, folds, total_variation, warp

PLANE = torch.stack(torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij"))


def blob(row, column, size=24, spread=9.0):
    at = torch.arange(size, dtype=torch.float64)
    return torch.exp(-((at[:, None] - row) ** 2 + (at - column) ** 2) / (2 * spread))


# ------------------------------------------------------------------------------------------------ warps
def test_a_flow_of_zero_gives_the_image_bitwise_and_whole_steps_are_shifts():
    torch.manual_seed(0)
    image = torch.randn(3, 9, 11)
    assert torch.equal(warp(image, torch.zeros(3, 2, 9, 11)), image)
    down = torch.tensor([2.0, -3.0]).reshape(2, 1, 1).expand(2, 9, 11)
    assert torch.equal(warp(image, down)[:, :7, 3:], image[:, 2:, :8])
    assert torch.equal(warp(image, down)[:, 8, 3:], image[:, 8, :8])  # the edge goes on


def test_reading_between_pixels_is_exact_on_what_is_linear_in_each_axis():
    torch.manual_seed(0)
    flow = 0.9 * torch.rand(2, 9, 11, dtype=torch.float64) - 0.4
    plane = PLANE.double()
    image = 2 * plane[0] - plane[1] + 0.5 * plane[0] * plane[1]
    i, j = (plane + flow).unbind(0)
    inside = (i >= 0) & (i <= 8) & (j >= 0) & (j <= 10)
    torch.testing.assert_close(warp(image, flow)[inside], (2 * i - j + 0.5 * i * j)[inside])
    few = flow[:, :3, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: warp(image[:3, :3], f), few)
    with pytest.raises(OptionError, match=r"flow has shape \(2, 9, 11\); expected \(\.\.\., 2, 4, 4\)"):
        warp(torch.zeros(4, 4), flow)


def test_the_exponential_is_torchs_and_its_inverse_is_that_of_the_negative_velocity():
    torch.manual_seed(0)
    velocity = 6 * torch.rand(200, 2, 3, dtype=torch.float64) - 3
    whole = torch.cat([velocity, torch.zeros(200, 1, 3, dtype=torch.float64)], 1)
    torch.testing.assert_close(affine_matrix(velocity), torch.matrix_exp(whole)[:, :2], rtol=1e-9, atol=1e-9)
    there, back = affine_matrix(0.3 * velocity.float()), affine_matrix(-0.3 * velocity.float())
    u = torch.randn(2, 7)
    moved = there[..., :2] @ u + there[..., 2:]
    torch.testing.assert_close(back[..., :2] @ moved + back[..., 2:], u.expand(200, 2, 7), rtol=1e-4, atol=1e-4)


def test_taking_a_map_back_gives_the_image_inside():
    torch.manual_seed(0)
    image = blob(22, 26, size=48, spread=80.0).float()
    for velocity in 0.3 * torch.rand(5, 2, 3) - 0.15:
        there = warp_by(image, affine_matrix(velocity))
        again = warp_by(there, affine_matrix(-velocity))
        assert (again - image)[10:-10, 10:-10].abs().max() < 1e-2 < (there - image).abs().max()


def warp_by(image, matrix):
    return warp(image, affine_flow(matrix, *image.shape[-2:]))


def test_smoothness_and_folds_by_hand():
    flow = torch.zeros(2, 3, 4)
    flow[0, 1, 2] = 0.5
    assert float(total_variation(flow)) == 4 * 0.5 and float(folds(flow)) == 0
    flow[0, 1, 2] = -1.5  # the row below it is read before this one
    assert float(folds(flow)) == pytest.approx(1 / 6)


# ------------------------------------------------------------------------------------------------ the pair
@pytest.mark.parametrize("conditional", [True, False])
def test_the_bound_is_that_of_its_formula_with_particles(digits, conditional):
    options = {"appearance_dim": 3, "perspective_dim": 2, "hidden": [8], "conditional": conditional}
    pair = made("vitae", digits.spec, **options)
    torch.nn.init.normal_(pair.model.velocity.mlp[-1].bias, std=0.3)
    x = digits.test["x"][:4]
    traced = trace_pair(pair.model, pair.guide, {"x": x}, 5)
    z_P, z_A = traced.latents["z_P"], traced.latents["z_A"]
    with torch.no_grad():
        for k in range(5):
            for b in range(4):
                matrix = affine_matrix(pair.model.velocity(z_P[k, b]))
                logits = warp_by(pair.model.decoder(z_A[k, b]).squeeze(0), matrix)
                likelihood = torch.distributions.Bernoulli(logits=logits).log_prob(x[b]).sum()
                torch.testing.assert_close(traced.log_p["x"][k, b], likelihood)
                seen = warp_by(x[b], affine_matrix(-pair.model.velocity(z_P[k, b]))) if conditional else x[b]
                loc = pair.guide.appearance(seen).chunk(2, -1)[0]
                torch.testing.assert_close(traced.guide_sites["z_A"]["fn"].mean.expand(5, 4, 3)[k, b], loc)


def test_images_of_colours_move_alike_and_no_pixel_gets_a_probability_of_zero():
    spec = DataSpec("toy", (2, 5, 4), "binary")
    pair = made("vitae", spec, appearance_dim=2, hidden=[4])
    pair.model.velocity.mlp[-1].bias.data[2] = 3.0  # all of the canvas is out of sight
    pair.model.decoder.mlp[-1].bias.data.uniform_(-1, 1)
    traced = trace_pair(pair.model, pair.guide, {"x": torch.ones(3, 2, 5, 4)}, 2)
    fn = traced.model_sites["x"]["fn"]
    assert fn.event_shape == (2, 5, 4)
    assert fn.mean.detach().min() > 0.1 and fn.mean.detach().max() < 0.9
    with pytest.raises(OptionError, match="a warp needs images"):
        pv.pairs.vitae(DataSpec("toy", (7,), "binary"))


def test_the_map_of_one_blob_is_recovered():
    """A canvas that is known, an image of it by a known map: the velocity that makes the image most probable is the map's."""
    truth = torch.tensor([[0.12, -0.2, 0.15], [0.18, -0.1, -0.2]], dtype=torch.float64)
    canvas = blob(6, 9, 16) - 0.8 * blob(10, 6, 16, spread=4.0)  # no symmetry that a map could hide in
    image = warp_by(canvas, affine_matrix(truth))
    velocity = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([velocity], max_iter=40, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def loss():
        optimizer.zero_grad()
        value = (warp_by(canvas, affine_matrix(velocity)) - image).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    torch.testing.assert_close(velocity.detach(), truth, rtol=0, atol=1e-4)


# ------------------------------------------------------------------------------------------------ the data
def test_images_move_by_what_the_keys_say_the_same_at_each_call(grey):
    moved = transform(grey, "affine:rotation=0,scale=0,shift=1.5,source=true")
    batch, again = next(moved.test.batches(50)), next(moved.test.batches(50))
    assert all(torch.equal(batch[key], again[key]) for key in batch)
    assert torch.equal(batch["source"], next(grey.test.batches(50))["x"]) and batch["shift"].abs().max() <= 1.5
    for x, source, shift in zip(batch["x"], batch["source"], batch["shift"], strict=True):
        flow = -shift.reshape(2, 1, 1).expand(2, 8, 8)
        torch.testing.assert_close(x, (16 * warp(source, flow)).round() / 16, atol=1 / 16 + 1e-6, rtol=0)
    first, second = (next(moved.train.epoch(50, seed=0, epoch=e)) for e in (0, 1))
    assert not torch.equal(first["shift"], second["shift"]) and moved.spec.keys["source"].kind == "levels"


def test_a_quarter_turn_and_a_double_size(grey):
    from pyrovae.data.motion import _Affine

    x = grey.test["x"][:6]
    change = _Affine(90.0, 1.0, 1.0, False, "unit", 2)
    zero, none = torch.zeros(6), torch.zeros(6, 2)
    turned = change.moved(x, torch.full((6,), 90.0), zero, none)
    torch.testing.assert_close(turned, x.rot90(1, (1, 2)), atol=1e-4, rtol=0)
    large = change.moved(x, zero, torch.full((6,), math.log(2.0)), none)
    torch.testing.assert_close(large[:, 0, 0], x[:, 1:3, 1:3].flatten(1) @ torch.tensor([1, 3, 3, 9.0]) / 16)
    assert transform(load("digits"), "affine").train["x"].unique().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("option", ["rotation=-1", "scale=nan", "shift=inf", "rotation=0,scale=0,shift=0"])
def test_a_map_that_is_none_is_refused(grey, option):
    with pytest.raises(OptionError, match=option.partition("=")[0]):
        transform(grey, f"affine:{option}")
