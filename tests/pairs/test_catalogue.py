"""One suite over every pair of the catalogue: a recipe, model or guide that is in no row fails the first test."""

from __future__ import annotations

import pytest
import torch

import pyrovae as pv
from pyrovae import guides, models
from pyrovae.core.inference import precision_context
from pyrovae.core.pair import parameters
from pyrovae.files import load_state

SHAPES = {
    "digits": {},
    "grey": {"binarization": "none"},
    "labels": {"transforms": ["few-labels:num_labels=100"]},
    "missing": {"transforms": ["missing:rate=0.3"]},
    "quadrants": {"transforms": ["quadrants:given=2"]},
    "masking": {"transforms": ["corrupt:process=masking,rate=0.3"]},
    "noise": {"binarization": "none", "transforms": ["corrupt:process=gaussian,scale=0.3,parts=all"]},
}
ROWS = [
    ("vae", "digits", {"latent_dim": 3, "hidden": [20]}),
    ("vae", "digits", {"latent_dim": 2, "hidden": [20, 10], "posterior": "full-rank", "activation": "elu"}),
    ("vae", "grey", {"latent_dim": 3, "hidden": [20], "likelihood": "gaussian", "scale": "predicted"}),
    ("vae", "grey", {"latent_dim": 3, "hidden": [20], "likelihood": "gaussian", "scale": 0.3}),
    ("vae", "grey", {"latent_dim": 3, "hidden": [20], "likelihood": "continuous-bernoulli"}),
    ("vae", "grey", {"latent_dim": 3, "hidden": [20], "likelihood": "discretized-logistic", "scale": "predicted"}),
    ("vae", "grey", {"latent_dim": 3, "hidden": [20], "likelihood": "categorical"}),
    ("vae", "missing", {"latent_dim": 3, "hidden": [20]}),
    ("conv-vae", "digits", {"latent_dim": 3, "channels": [4, 8], "hidden": 20}),
    ("conv-vae", "grey", {"latent_dim": 3, "channels": [4], "hidden": 20, "likelihood": "discretized-logistic"}),
    ("m2", "labels", {"latent_dim": 3, "hidden": [20]}),
    ("m1", "labels", {"latent_dim": 3, "hidden": [20]}),
    ("m1-m2", "labels", {"latent_dim": 3, "hidden": [20], "feature_dim": 4, "feature_hidden": [20]}),
    ("cvae", "quadrants", {"latent_dim": 3, "hidden": [20]}),
    ("gsnn", "quadrants", {"latent_dim": 3, "hidden": [20]}),
    ("adgm", "labels", {"latent_dim": 3, "auxiliary_dim": 2, "hidden": [20]}),
    ("sdgm", "labels", {"latent_dim": 3, "auxiliary_dim": 2, "hidden": [20]}),
    ("vae", "digits", {"latent_dim": 3, "hidden": [20], "posterior": "mixture", "num_components": 2}),
    ("beta-vae", "digits", {"latent_dim": 3, "hidden": [20]}),
    ("beta-vae", "digits", {"latent_dim": 3, "hidden": [20], "capacity": 2.0, "gamma": 10.0}),
    ("dvae", "masking", {"latent_dim": 3, "hidden": [20]}),
    ("ae", "digits", {"latent_dim": 3, "hidden": [20]}),
    ("ae", "digits", {"latent_dim": 3, "hidden": [20], "relax": 0.3}),
    ("deep-ae", "grey", {"latent_dim": 3, "hidden": [20, 10]}),
    ("linear-ae", "grey", {"latent_dim": 3}),
    ("logistic-pca", "digits", {"latent_dim": 3}),
    ("sparse-ae", "digits", {"latent_dim": 6, "hidden": [20]}),
    ("sparse-ae", "digits", {"latent_dim": 6, "hidden": [20], "relax": 0.5}),
    ("sparse-ae", "digits", {"latent_dim": 6, "hidden": [20], "penalty": "kl-to-rate", "strength": 0.1}),
    ("dae", "noise", {"latent_dim": 3, "hidden": [20]}),
    ("cae", "digits", {"latent_dim": 6}),
    ("cae", "digits", {"latent_dim": 6, "jacobian": "autograd"}),
    ("cae", "digits", {"latent_dim": 3, "of": "decoder", "hidden": [20]}),
    ("two-layer-vae", "digits", {"latent_dim": 3, "lower_dim": 4, "hidden": [20], "upper_hidden": [10]}),
    ("vamp-vae", "digits", {"latent_dim": 3, "hidden": [20], "pseudo_inputs": 7}),
    ("vamp-vae", "missing", {"latent_dim": 3, "hidden": [20], "pseudo_inputs": 7, "pseudo_range": "sigmoid"}),
    ("hvae", "digits", {"latent_dim": 3, "lower_dim": 4, "hidden": [20, 10], "pseudo_inputs": 7}),
    ("hvae", "grey", {"prior": "standard", "latent_dim": 3, "lower_dim": 4, "hidden": [20, 10]}),
    ("flow-vae", "digits", {"flow": "planar", "latent_dim": 3, "hidden": [20]}),
    ("flow-vae", "digits", {"flow": "radial", "latent_dim": 3, "hidden": [20], "amortized": False}),
    ("flow-vae", "digits", {"flow": "iaf", "latent_dim": 3, "hidden": [20], "flow_hidden": [10], "context_dim": 5}),
    ("flow-vae", "grey", {"flow": "sylvester", "latent_dim": 3, "hidden": [20], "num_flows": 2}),
    ("flow-vae", "missing", {"flow": "spline", "latent_dim": 3, "hidden": [20], "num_flows": 2, "flow_hidden": [10]}),
    ("aae", "digits", {"latent_dim": 3, "hidden": [20], "discriminator_hidden": 10}),
    ("aae", "grey", {"latent_dim": 3, "hidden": [20], "discriminator_hidden": 10, "posterior": "gaussian"}),
    ("linear-gaussian", "grey", {"latent_dim": 3}),
    ("linear-gaussian", "grey", {"latent_dim": 3, "noise": "diagonal"}),
]


def has_density(row):
    """Whether the pair of a row has a log p(x): a deterministic autoencoder has not."""
    if row[0] == "aae":
        return row[2].get("posterior") == "gaussian"
    return row[0] not in ("ae", "deep-ae", "linear-ae", "logistic-pca", "sparse-ae", "dae", "cae") or "relax" in row[2]


def build(name, data, options):
    data = pv.data.load("digits", **SHAPES[data])
    torch.manual_seed(0)
    return pv.pairs.get(name).build(data.spec, **options), data


@pytest.fixture(params=ROWS, ids=lambda row: f"{row[0]} {row[1]} {'-'.join(map(str, row[2].values()))}")
def row(request):
    return request.param


def test_every_recipe_model_and_guide_has_a_row():
    built = [build(*row)[0] for row in ROWS]
    assert {row[0] for row in ROWS} == set(pv.pairs.CATALOGUE)
    for package, attribute in ((models, "model"), (guides, "guide")):
        programs = [getattr(pair, attribute) for pair in built]
        assert {type(getattr(p, "program", p)).__name__ for p in programs} == set(package.__all__)


def test_check_passes_and_every_parameter_gets_a_gradient(row):
    pair, data = build(*row)
    batch = data.train[torch.arange(20)]
    report = pv.check(pair, batch)
    assert report.is_density == has_density(row) and "x" in {s.name for s in report.sites}
    pv.objectives.get(pair.objective).differentiable_loss(pair.model, pair.guide, **batch).backward()
    for name, parameter in parameters(pair.model, pair.guide).items():
        still = not parameter.requires_grad  # trained in a stage before
        assert still or (parameter.grad is not None and (parameter.grad != 0).any()), name


def test_trains_evaluates_generates_saves_and_exports(row, tmp_path):
    pair, data = build(*row)
    run = pv.fit(pair, data, epochs=2, out=tmp_path / "run", progress=False, tensorboard=False, lr=3e-3)
    assert run.history["valid"].iloc[-1] > run.history["valid"].iloc[0]

    few = data.test.subset(torch.arange(30))
    evaluation = pv.evaluate(run, few, num_samples=20)
    figures = evaluation.to_json()
    z = "z" if "z" in figures["latent_dims"] else "z2"

    x = {key: value[:5] for key, value in few[:5].items() if key not in ("index", "y")}
    one, other = ({key: value[row : row + 1] for key, value in x.items()} for row in (0, 1))
    assert pv.reconstruct(pair, x, num_samples=3).shape == x["x"].shape
    assert pv.traverse(pair, one, site=z).shape == (figures["latent_dims"][z], 11, 8, 8)
    assert pv.interpolate(pair, one, other, num=5).shape == (5, 8, 8)
    if has_density(row):
        assert figures["elbo"] <= figures["log_evidence"] + 1e-4 and figures["elbo_stderr"] > 0
        dims = figures["kl_per_dim"][z]
        if row[2].get("posterior") == "mixture" or row[0] == "flow-vae" or "pseudo_inputs" in row[2]:
            assert dims is None and figures["kl"][z] > -0.1  # laws that are no products over dimensions, of sampled KL
        else:
            assert len(dims) == figures["latent_dims"][z]
            assert (figures["kl"][z] > 0) == (row[0] != "gsnn")  # whose guide is its prior
        drawn = pv.sample(pair, 4, like=one)
        assert drawn["x"].shape == (4, 8, 8) and drawn[z].shape[0] == 4
        idata = pv.to_arviz(run, num_samples=5, num_chains=2, num_data=3)
        assert {"posterior", "prior", "log_likelihood", "observed_data"} <= set(idata.groups())
    else:
        assert figures["log_evidence"] is None and 0 < figures["squared_error"] < 64 and "density" in figures["reason"]

    again = pv.load(tmp_path / "run")
    assert repr(again.pair.recipe) == repr(pair.recipe) and again.history.equals(run.history)
    for (name, own), loaded in zip(
        parameters(pair.model, pair.guide).items(), parameters(again.model, again.guide).values(), strict=True
    ):
        assert torch.equal(own, loaded), name
    same = [pv.reconstruct(p, x) if not has_density(row) else evidence(p, few) for p in (pair, again.pair)]
    assert torch.equal(*same)
    assert load_state(tmp_path / "run" / "checkpoint.safetensors")["step"] == 2 * data.train.num_batches(100)


def test_in_bf16_draws_and_densities_stay_float32(row):
    pair, data = build(*row)
    batch = data.train[torch.arange(50)]
    objective = pv.objectives.get(pair.objective)
    bounds = []
    for precision in ("float32", "bf16"):
        torch.manual_seed(0)
        with torch.no_grad(), precision_context(precision, pair.model, pair.guide):
            traced = objective.trace(pv.objectives.Given(pair.model, pair.guide, [batch]))
            torch.manual_seed(0)
            bounds.append(objective.evaluate(pair.model, pair.guide, batch).mean())
        numbers = [site["value"] for site in [*traced.model_sites.values(), *traced.guide_sites.values()]]
        assert {number.dtype for number in [*numbers, traced.log_joint, bounds[-1]]} == {torch.float32}
    assert torch.allclose(*bounds, rtol=2e-3, atol=0.05)


def evidence(pair, data):
    return pv.log_evidence(pair, data, num_samples=5).value


def test_recipes_name_wrong_options():
    spec = pv.data.load("digits").spec
    with pytest.raises(ValueError, match="no option of pair vae is called 'latent'; did you mean 'latent_dim'"):
        pv.pairs.vae(spec, latent=3)
    with pytest.raises(ValueError, match="no posterior is called 'fullrank'; did you mean 'full-rank'"):
        pv.pairs.vae(spec, posterior="fullrank")


def test_linear_gaussian_is_exact():
    """With the exact guide, ELBO = log p(x) to float precision, and its gradient is that of log p(x)."""
    pair, data = build("linear-gaussian", "grey", {"latent_dim": 5})
    pv.fit(pair, data, epochs=3, progress=False)
    x = data.test["x"]
    truth = pair.model.log_evidence(x)
    elbo = -pv.objectives.ELBO().loss(pair.model, pair.guide, x=x) / len(x)
    assert elbo == pytest.approx(float(truth.mean().detach()), abs=2e-4)
    estimate = pv.log_evidence(pair, x, num_samples=10)
    torch.testing.assert_close(estimate.value.float(), truth.detach(), rtol=0, atol=2e-3)
