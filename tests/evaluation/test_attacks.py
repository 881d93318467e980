"""Attacks: closed forms of linear encoders, optimality at the bounds, curves by hand, and the command."""

from __future__ import annotations

import json

import pyro
import pyro.distributions as dist
import pytest
import torch
from making import made
from torch import nn

import pyrovae as pv
from pyrovae.cli import main
from pyrovae.errors import ContractError, DataError, OptionError
from pyrovae.evaluation import DistortionCurve, attack, code_classifier, distortion_curve


class Linear(nn.Module):
    """z = A x + b, x ~ N(W z, s^2): as a model, or as a guide with a scale, or at the point."""

    def __init__(self, scale):
        super().__init__()
        torch.manual_seed(0)
        self.A, self.b = (torch.randn(*shape) for shape in ((3, 6), (3,)))
        self.W, self.s, self.scale = torch.randn(6, 3), 0.7, scale

    def model(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.W.T, self.s).to_event(1), obs=x)

    def guide(self, x):
        loc = x @ self.A.T + self.b
        with pyro.plate("data", len(x), dim=-1):
            fn = dist.Normal(loc, self.scale).to_event(1) if self.scale else dist.Delta(loc, event_dim=1)
            pyro.sample("z", fn)


def rows(seed=1):
    torch.manual_seed(seed)
    return {"x": torch.randn(5, 6)}, {"x": torch.randn(5, 6)}


@pytest.mark.parametrize(("kind", "weight"), [("latent", 1.0), ("kl", 1 / (2 * 0.3**2))])
@pytest.mark.parametrize("cost", [0.02, 5.0])
def test_a_linear_encoder_has_its_best_change_in_closed_form(kind, weight, cost):
    """||m - m_t||^2, or that over 2 s^2 by the KL of equal scales: eta = A^T (A A^T + c I)^-1 (m_t - m)."""
    toy, (x, target) = Linear(0.3), rows()
    found = attack((toy.model, toy.guide), x, target, kind, cost, num_steps=500)
    gap = (target["x"] - x["x"]) @ toy.A.T
    inner = toy.A @ toy.A.T + cost / weight * torch.eye(3)
    truth = torch.linalg.solve(inner, gap.T).T @ toy.A
    assert (found.eta - truth).abs().max() < 1e-4
    left = (gap - truth @ toy.A.T).square().sum(1)
    torch.testing.assert_close(found.after, weight * left, rtol=1e-2, atol=1e-5)
    torch.testing.assert_close(found.before, weight * gap.square().sum(1))


def test_an_attack_on_the_output_of_a_linear_autoencoder_is_ridge_regression():
    toy, (x, target) = Linear(None), rows()
    found = attack((toy.model, toy.guide), x, target, "output", 0.5, num_steps=500)
    M, scale = toy.W @ toy.A, 1 / (2 * toy.s**2)
    rest = target["x"] - (x["x"] @ toy.A.T + toy.b) @ toy.W.T
    inner = scale * M.T @ M + 0.5 * torch.eye(6)
    truth = torch.linalg.solve(inner, scale * (rest @ M).T).T
    assert (found.eta - truth).abs().max() < 1e-4
    density = torch.distributions.Normal((x["x"] @ toy.A.T + toy.b) @ toy.W.T, toy.s)
    torch.testing.assert_close(found.before, -density.log_prob(target["x"]).sum(1))
    torch.testing.assert_close(found.reconstruction, ((x["x"] + found.eta) @ toy.A.T + toy.b) @ toy.W.T)
    many = Linear(0.3)  # draws that are the same at each step: the mean has its best change near the point's
    again = attack((many.model, many.guide), x, target, "output", 0.5, num_samples=2000, num_steps=500)
    assert (again.eta - found.eta).abs().max() < 0.05


def test_an_attack_on_a_classifier_is_stationary_and_reaches_the_class():
    toy, (x, target) = Linear(0.3), rows()
    torch.manual_seed(3)
    V = torch.randn(4, 3)
    target["y"] = torch.tensor([0, 1, 2, 3, 0])
    found = attack((toy.model, toy.guide), x, target, "classifier", 1e-3, classifier=lambda z: z @ V.T, num_steps=500)
    eta = found.eta.clone().requires_grad_()
    logits = ((x["x"] + eta) @ toy.A.T + toy.b) @ V.T
    loss = torch.nn.functional.cross_entropy(logits, target["y"], reduction="sum") + 1e-3 * eta.square().sum()
    assert torch.autograd.grad(loss, eta)[0].abs().max() < 1e-4 and torch.equal(logits.argmax(1), target["y"])


def test_changes_stay_where_data_lie_and_are_the_best_there(grey):
    """At a bound the slope points outwards; elsewhere there is none."""
    pair = made("vae", grey.spec, latent_dim=2, hidden=[12])
    x, target = (dict(grey.test[rows]) for rows in (slice(0, 4), slice(4, 8)))
    found = attack(pair, x, target, "latent", 0.05, num_steps=500)
    moved = found.x + found.eta
    assert moved.min() >= 0 and moved.max() <= 1 and (found.after < found.before).all()
    eta = found.eta.clone().requires_grad_()

    def means(images):
        return pair.guide.encoder(images).chunk(2, -1)[0]

    loss = (means(found.x + eta) - means(found.target)).square().sum() + 0.05 * eta.square().sum()
    slope = torch.autograd.grad(loss, eta)[0]
    low, high = moved <= 1e-7, moved >= 1 - 1e-7
    assert slope[~low & ~high].abs().max() < 2e-3 and slope[low].min() > -2e-3 and slope[high].max() < 2e-3
    free = attack(pair, x, target, "latent", 0.05, num_steps=500, bounded=False)
    assert (found.x + free.eta).min() < 0


def test_the_area_is_that_of_the_trapezoids_and_a_line_has_one_half():
    size, distance = torch.tensor([[0.25, 0.5], [0.5, 1.5]]), torch.tensor([[0.75, 0.1], [0.5, 0.0]])
    curve = DistortionCurve((1.0, 0.1), size, distance)
    torch.testing.assert_close(curve.areas.float(), torch.tensor([0.5, 0.5 * (1.1 / 2) + 0.5 * (0.1 / 2)]))
    toy, (x, target) = Linear(None), rows()
    toy.A, toy.b, toy.W = torch.eye(6), torch.zeros(6), torch.eye(6)
    toy.model = lambda x: whole(toy, x)  # the reconstruction is what it is given
    found = distortion_curve((toy.model, toy.guide), x, target, costs=[3.0, 1.0, 0.3, 0.01])
    torch.testing.assert_close(found.areas.float(), torch.full((5,), 0.5), rtol=1e-3, atol=1e-3)
    assert found.area == pytest.approx(0.5, abs=1e-3) and found.to_json()["costs"] == [3.0, 1.0, 0.3, 0.01]


def whole(toy, x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(6), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z, toy.s).to_event(1), obs=x)


@pytest.mark.parametrize(
    ("recipe", "options"),
    [("ae", {}), ("beta_tcvae", {"latent_dim": 2}), ("aae", {"latent_dim": 2}), ("m2", {"latent_dim": 2})],
)
def test_any_pair_may_be_attacked_and_no_parameter_moves(grey, recipe, options):
    pair = made(recipe, grey.spec, hidden=[8], **options)
    before = [parameter.clone() for parameter in pair.guide.parameters()]
    for kind in ("latent", "output"):
        found = attack(pair, grey.test[:2], grey.test[2:4], kind, 0.01, num_steps=20)
        assert (found.after <= found.before).all() and found.eta.abs().max() > 0, kind
    assert all(torch.equal(*both) for both in zip(before, pair.guide.parameters(), strict=True))


def test_what_is_no_attack_is_refused(grey, digits):
    pair = made("vae", grey.spec, latent_dim=2, hidden=[8])
    x = grey.test[:2]
    for options, word in (
        ({"kind": "latnet"}, "latent"),
        ({"cost": -1.0}, "cost is -1.0"),
        ({"cost": float("nan")}, "cost is nan"),
        ({"num_steps": 0}, "num_steps"),
        ({"num_samples": 0}, "num_samples"),
        ({"kind": "classifier"}, "classifier goes with"),
        ({"classifier": nn.Identity()}, "classifier goes with"),
    ):
        with pytest.raises(OptionError, match=word):
            attack(pair, x, x, **options)
    with pytest.raises(OptionError, match="target has 3 rows and data 2"):
        attack(pair, x, grey.test[:3])
    with pytest.raises(DataError, match="no labels y"):
        attack(pair, {"x": x["x"]}, {"x": x["x"]}, "classifier", classifier=nn.Identity())
    with pytest.raises(OptionError, match="costs"):
        distortion_curve(pair, x, x, costs=[])
    noisy = pv.data.load("digits", transforms=["corrupt:rate=0.3"])
    dae = made("dae", noisy.spec, hidden=[8])
    with pytest.raises(ContractError, match="do not depend on x"):
        attack(dae, noisy.test[:2], noisy.test[2:4])
    bits = made("categorical_vae", digits.spec, hidden=[8])
    with pytest.raises(ContractError, match="no continuous latent site"):
        attack(bits, digits.test[:2], digits.test[2:4])


def test_a_classifier_of_codes_reads_the_classes(grey):
    torch.manual_seed(0)
    pair = made("vae", grey.spec, latent_dim=8, hidden=[32])
    pv.fit(pair, grey, epochs=2, lr=5e-3, validate=False, progress=False)
    classify, moments = code_classifier(pair, grey), pv.encode(pair, grey.test)["z"]
    assert float((classify(moments).argmax(1) == grey.test["y"]).float().mean()) > 0.5
    target = grey.test[3:6]
    found = attack(pair, grey.test[:3], target, "classifier", 1e-3, classifier=classify)
    codes = pv.encode(pair, {"x": found.x + found.eta})["z"]
    assert torch.equal(classify(codes).argmax(1), target["y"])


def test_the_command_draws_and_writes(grey, tmp_path, capsys):
    pair = made("vae", grey.spec, latent_dim=2, hidden=[8])
    pv.fit(pair, grey, steps=2, progress=False, tensorboard=False, out=tmp_path / "run")
    out = tmp_path / "attack.png"
    words = ["attack", str(tmp_path / "run"), "--num", "2", "--num_steps", "3", "--out", str(out)]
    for more in (["--kind", "classifier"], ["--kind", "output", "--curve", "true", "--num_samples", "2"]):
        assert main([*words, *more]) == 0, capsys.readouterr().err
        found = json.loads((tmp_path / "run" / "attack.json").read_text())
        assert found["num_data"] == 2 and ("curve" in found) == ("--curve" in more) and out.stat().st_size > 1000
    assert found["curve"]["area"] > 0 and len(found["curve"]["size"]) == 9 and "2 data" in capsys.readouterr().out
    assert main([*words, "--cost", "nan"]) == 2 and "cost is nan" in capsys.readouterr().err
