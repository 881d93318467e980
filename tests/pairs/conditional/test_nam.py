"""Mapping without pairs: the identity's reconstruction, maps that rotate the prior, codes found by search, and the data."""

from __future__ import annotations

import exact
import pyro
import pyro.distributions as dist
import pytest
import torch
from making import made

import pyrovae as pv
from pyrovae.data import DataSpec, transform
from pyrovae.errors import ContractError, DataError, OptionError
from pyrovae.evaluation import best_codes
from pyrovae.nets import LocalMap


@pytest.fixture(scope="module")
def inverted(grey):
    return transform(grey, "unpaired:change=invert")


def same_domain(spec):
    """Data whose second domain is the first."""
    return spec.with_keys({"other": spec.keys["x"]})


# ------------------------------------------------------------------------------------------------ the data
def test_the_second_domain_is_drawn_apart_and_repeats(grey, inverted):
    rows, again = next(inverted.test.batches(100)), next(inverted.test.batches(100))
    assert all(torch.equal(rows[key], again[key]) for key in rows)
    pool = 1 - grey.test["x"].flatten(1)
    nearest = torch.cdist(rows["other"].flatten(1), pool).min(1)
    assert (nearest.values < 1e-4).all() and (nearest.indices == rows["index"]).float().mean() < 0.1
    first, second = (next(inverted.train.epoch(50, seed=0, epoch=epoch)) for epoch in (0, 1))
    assert not torch.equal(first["other"], second["other"])
    turned = transform(grey, "unpaired:change=rotate").test[:50]["other"]
    assert torch.cdist(turned.rot90(-1, (1, 2)).flatten(1), grey.test["x"].flatten(1)).min(1).values.max() < 1e-4
    assert inverted.fingerprint() != transform(grey, "unpaired:change=rotate").fingerprint()
    for option, error, word in (("change=invrt", OptionError, "invert"), ("change=none", OptionError, "change is 'none'")):
        with pytest.raises(error, match=word):
            transform(grey, f"unpaired:{option}")
    real = pv.data.load({"x": torch.randn(20, 3, 4)})
    for change in ("invert", "rotate"):
        with pytest.raises(DataError, match="no x that change|square"):
            transform(real, f"unpaired:change={change}")


# ------------------------------------------------------------------------------------------------ the identity
def test_of_one_domain_and_the_identity_it_is_the_vae_of_the_first_stage(grey):
    """X = Y and T the identity: the density, and the image that x is mapped to, are those of the generator's own VAE."""
    pair = made("nam", same_domain(grey.spec), latent_dim=3, hidden=[12], identity=True, scale=0.2)
    stage = pair.stages[0]
    pair.guide.encoder.load_state_dict(stage.guide.program.encoder.state_dict())
    first = stage.model.program
    x = grey.test["x"][:6]
    z = pv.encode(pair, x)["z"]
    with torch.no_grad():
        own = first.likelihood(first.decoder(z)).mean
        assert torch.equal(pair.model.image(z), own) and torch.equal(pair.model.mapping(own).squeeze(1), own)
    vae = made("vae", grey.spec, latent_dim=3, hidden=[12], scale=0.2)
    vae.model.decoder.load_state_dict(first.decoder.state_dict())
    vae.guide.encoder.load_state_dict(pair.guide.encoder.state_dict())
    values = []
    for each in (pair, vae):
        torch.manual_seed(0)
        values.append(pv.log_evidence(each, x, num_samples=10).value)
    torch.testing.assert_close(*values)
    error = (pair.model.image(z).detach() - x).square().flatten(1).sum(1)
    torch.testing.assert_close(error, (pv.decode(vae, z) - x).square().flatten(1).sum(1))


def test_the_identity_that_fits_stays(grey):
    """At T = 1 with G's own images as data and exact codes the slope of T is zero."""
    pair = made("nam", same_domain(grey.spec), latent_dim=2, hidden=[8], identity=True, scale=0.2)
    with torch.no_grad():
        z = torch.randn(20, 2)
        x = pair.model.image(z)
    fn = pair.model.likelihood(pair.model.mapping(pair.model.image(z)))
    slopes = torch.autograd.grad(fn.log_prob(x).sum(), list(pair.model.mapping.parameters()))
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-4


def test_linear_maps_are_known_up_to_a_rotation_of_the_prior():
    """x = T G z: with T G R G^+ in place of T, R a rotation, p(x) is the same, and what maps to what is not."""
    torch.manual_seed(0)
    G, T = torch.randn(4, 2).double(), torch.randn(5, 4).double()
    R = torch.linalg.qr(torch.randn(2, 2).double()).Q
    other = T @ G @ R @ torch.linalg.pinv(G)
    covariances = [M @ G @ G.T @ M.T for M in (T, other)]
    torch.testing.assert_close(*covariances)
    assert (T @ G - other @ G).abs().max() > 0.1


def test_a_map_is_local_and_takes_images_of_any_size():
    torch.manual_seed(0)
    local = LocalMap((3, 6, 6), (9, 9), [4])
    y = torch.rand(2, 3, 6, 6, requires_grad=True)
    out = local(y)
    assert out.shape == (2, 1, 9, 9)
    slope = torch.autograd.grad(out[0, 0, 0, 0], y)[0]
    assert slope[0, :, :2, :2].abs().min() > 0 and not slope[0, :, 5].any() and not slope[1].any()
    assert LocalMap((4, 4), (4, 4), [])(torch.zeros(7, 5, 4, 4)).shape == (7, 5, 1, 4, 4)


def test_the_stage_is_trained_on_the_second_domain_and_then_stands_still(inverted, tmp_path):
    def build(spec):
        return pv.pairs.nam(spec, latent_dim=3, hidden=[16], map_channels=[3])

    options = {"epochs": 1, "lr": 3e-3, "progress": False, "tensorboard": False, "compile": False}
    more = {"epochs": 5, "lr": 1e-2, "validate": False}
    run = pv.fit_stages(build, inverted, out=tmp_path / "run", stage_options=more, **options)
    first = run.pair.stages[0].model.program
    assert not any(p.requires_grad for p in first.parameters())
    assert torch.equal(next(run.model.generator.parameters()), next(first.decoder.parameters()))
    z = torch.zeros(1, 3)
    assert run.model.image(z).mean() > 0.2  # of the inverted digits, from 0
    again = pv.load(tmp_path / "run")
    x = inverted.test["x"][:4]
    assert torch.equal(pv.encode(again, x)["z"], pv.encode(run, x)["z"])
    assert torch.equal(again.model.image(z), run.model.image(z))
    with pytest.raises(OptionError, match="unpaired:change=invert"):
        pv.pairs.nam(DataSpec("toy", (4, 4), "real"))


# ------------------------------------------------------------------------------------------------ codes by search
def test_the_best_code_of_a_linear_gaussian_pair_is_its_posterior_mean():
    pair = exact.linear_gaussian(2, 4, rows=6, guide="wrong")
    found = best_codes(pv.Pair(pair.model, pair.guide), pair.batch, 3, num_steps=300, lr=0.1)
    factors = pair.model.factor_analysis
    with torch.no_grad():
        W, precision = factors.weight, factors.scale.square().reciprocal()
        inner = torch.eye(2) + W.T @ (precision.unsqueeze(1) * W)
        truth = torch.linalg.solve(inner, ((pair.batch["x"] - factors.loc) * precision @ W).T).T
    torch.testing.assert_close(found.latents["z"], truth, atol=1e-3, rtol=1e-3)
    assert found.log_joint.shape == (3, 6) and (found.log_joint.amax(0) >= found.at_guide).all()
    assert torch.equal(found.ranked[0], found.best)


def test_of_two_hills_the_higher_is_found_by_restarts():
    """x = z^2 + z/4: the guide stands on the lower side."""

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.square() + z / 4, 0.1).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(-torch.ones(len(x), 1), 0.1).to_event(1))

    x = torch.full((4, 1), 2.0)
    one, many = (best_codes((model, guide), x, num, num_steps=150) for num in (1, 8))
    assert (one.latents["z"] < 0).all() and (many.latents["z"] > 0).all() and (many.best > 0).all()
    for options in ({"num_restarts": 0}, {"num_steps": 0}, {"lr": float("nan")}):
        with pytest.raises(OptionError, match=next(iter(options))):
            best_codes((model, guide), x, **options)


def test_codes_that_are_no_vectors_are_refused(digits):
    pair = made("categorical_vae", digits.spec, hidden=[8])
    with pytest.raises(ContractError, match="codes are looked for among all real numbers"):
        best_codes(pair, digits.test[:2])


def test_seeds_are_ranked_by_the_bound(grey):
    runs = pv.fit_seeds(
        lambda spec: pv.pairs.vae(spec, latent_dim=2, hidden=[4]),
        grey,
        seeds=[0, 1, 2],
        steps=3,
        progress=False,
        compile=False,
    )
    values = [run.records[-1]["valid"] for run in runs.ranked]
    assert values == sorted(values, reverse=True) and set(map(id, runs.ranked)) == set(map(id, runs.runs))
