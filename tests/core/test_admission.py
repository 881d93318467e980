"""New data are looked at by every verb before the pair sees them, with one sentence for each fault."""

from __future__ import annotations

import copy
import pickle

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import nn

import pyrovae as pv
from pyrovae.core.support import scored_inside
from pyrovae.data import DataSpec
from pyrovae.errors import ContractError, DataError, OptionError, PyrovaeError

AIS = {"num_chains": 1, "num_distributions": 2, "pilot_chains": 2, "num_leapfrog": 1}
BINARY = (torch.rand(12, 2, 3, generator=torch.Generator().manual_seed(0)) > 0.5).float()


class Model(nn.Module):
    """p(z) p(x | z) with a linear decoder; the plate scales by N / B where N is given."""

    def __init__(self, family, num_data=None):
        super().__init__()
        self.decoder, self.family, self.num_data = nn.Linear(2, 3), family, num_data

    def forward(self, x):
        with pyro.plate("data", self.num_data or len(x), subsample=x if self.num_data else None, dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", self.family(self.decoder(z)).to_event(1), obs=x)


class Guide(nn.Module):
    def __init__(self, num_data=None):
        super().__init__()
        self.encoder, self.num_data = nn.Linear(3, 2), num_data

    def forward(self, x):
        with pyro.plate("data", self.num_data or len(x), subsample=x if self.num_data else None, dim=-1):
            pyro.sample("z", dist.Normal(self.encoder(x.to(self.encoder.weight.dtype)), 1.0).to_event(1))


def bernoulli(h):
    return dist.Bernoulli(logits=h)


def normal(h):
    return dist.Normal(h, 1.0)


@pytest.fixture(scope="module")
def pair():
    """Of binary images, not trained: a pair knows what it was made for."""
    torch.manual_seed(0)
    return pv.pairs.vae(DataSpec("toy", (2, 3), "binary"), latent_dim=2, hidden=[4])


def masked(x):
    return {"x": x, "mask": torch.ones_like(x)}


VERBS = {
    "importance": lambda pair, x: pv.log_evidence(pair, x, num_samples=2),
    "ais": lambda pair, x: pv.log_evidence(pair, x, "ais", **AIS),
    "smc": lambda pair, x: pv.log_evidence(pair, x, "smc", **AIS),
    "gaps": lambda pair, x: pv.gaps(pair, x, num_samples=2, num_steps=1, ais=AIS),
    "evaluate": lambda pair, x: pv.evaluate(pair, x, num_samples=2),
    "posterior": pv.posterior,
    "encode": pv.encode,
    "reconstruct": pv.reconstruct,
    "reconstruction_error": pv.reconstruction_error,
    "impute": lambda pair, x: pv.impute(pair, masked(x)),
    "complete": lambda pair, x: pv.complete(pair, masked(x), num_steps=1),
    "classify_features": lambda pair, x: pv.classify_features(pair, {"x": x, "y": torch.arange(len(x)) % 2}, x),
    "traverse": lambda pair, x: pv.traverse(pair, x[-1:]),
    "interpolate": lambda pair, x: pv.interpolate(pair, x[:1], x[-1:]),
    "to_arviz": lambda pair, x: pv.to_arviz(pair, x, num_samples=2, num_chains=1),
    "compile_step": lambda pair, x: pv.compile_step(pair, {"x": x}, backend="graph"),
    "check": pv.check,
    "fit": lambda pair, x: pv.fit(copy.deepcopy(pair), (BINARY, x), steps=1, progress=False),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_values_outside_the_support(verb, pair):
    late = BINARY.clone()
    late[-1, 0, 0] = 0.4
    with pytest.raises(PyrovaeError, match=r"x"):
        VERBS[verb](pair, 0.4 * BINARY)
    if verb not in ("check", "gaps"):
        with pytest.raises(PyrovaeError, match=r"x"):
            VERBS[verb](pair, late)


@pytest.mark.parametrize("verb", [name for name in VERBS if name not in ("check", "fit")])
def test_every_verb_refuses_other_shapes_and_nan(verb, pair):
    for x in (BINARY.flatten(1), BINARY[:, :1], BINARY.unsqueeze(1)):
        with pytest.raises(PyrovaeError, match="x|shape"):
            VERBS[verb](pair, x)
    bad = BINARY.clone()
    bad[-1, 0, 0] = torch.nan
    with pytest.raises(PyrovaeError, match="x holds NaN|NaN"):
        VERBS[verb](pair, bad)


def test_one_datum_without_its_batch_axis_is_told_how_to_come(pair):
    with pytest.raises(ContractError, match=r"x has shape \(2, 3\), rows of \(3,\), .* was made for rows of \(2, 3\)"):
        pv.encode(pair, BINARY[0])


def test_a_late_row_outside_the_support_ends_training_with_its_batch():
    x = (torch.rand(400, 3) > 0.5).float()
    x[380] = 2.5
    for objective in ("elbo", "iwae:num_particles=2", Trace_ELBO()):
        for compile in (False,):
            torch.manual_seed(0)
            programs = Model(bernoulli), Guide()
            with pytest.raises(PyrovaeError, match=r"batch \d of epoch 1 .*observed 'x' leaves the support.*Bernoulli.*2.5"):
                pv.fit(programs, (x, x[:9]), objective, epochs=1, batch_size=50, compile=compile, progress=False)
            assert all(bool(p.isfinite().all()) for program in programs for p in program.parameters())


def test_a_compiled_step_gives_no_number_and_moves_nothing_for_values_outside_the_support():
    programs, x = (Model(bernoulli), Guide()), (torch.rand(10, 3) > 0.5).float()
    step = pv.compile_step(programs, {"x": x}, backend="graph")
    before = programs[0].decoder.weight.clone()
    assert bool(step({"x": 0.4 * x}).isnan()) and torch.equal(before, programs[0].decoder.weight)
    step.reset()
    assert bool(step({"x": x}).isfinite()) and not torch.equal(before, programs[0].decoder.weight)


@pytest.mark.parametrize(
    ("fn", "good", "bad"),
    [
        (dist.Bernoulli(0.5 * torch.ones(2)).to_event(1), [1.0, 0.0], [0.4, 0.0]),
        (dist.Poisson(torch.ones(2)).to_event(1), [3.0, 0.0], [-1.0, 2.0]),
        (dist.Categorical(logits=torch.zeros(4)), 3, 4),
        (dist.LogNormal(torch.zeros(2), 1.0).to_event(1), [1.0, 2.0], [1.0, 0.0]),
        (dist.Dirichlet(torch.ones(3)), [0.2, 0.3, 0.5], [0.5, 0.5, 0.5]),
        (dist.Bernoulli(0.5 * torch.ones(2)).mask(torch.tensor([True, False])).to_event(1), [1.0, 7.0], [7.0, 1.0]),
    ],
)
def test_the_support_is_that_of_what_is_scored(fn, good, bad):
    assert bool(scored_inside(fn, torch.tensor(good)).all()) and not bool(scored_inside(fn, torch.tensor(bad)).all())


def test_labels_of_classes_that_a_pair_has_not_are_named(digits):
    spec = pv.data.as_data({"x": torch.rand(30, 4).round(), "y": torch.arange(30) % 3}).spec
    pair = pv.pairs.m2(spec, latent_dim=2, hidden=[4])
    rows = {"x": torch.rand(6, 4).round(), "y": torch.tensor([0, 1, 2, 5, 0, 1])}
    for call in (
        lambda: pv.classify(pair, rows),
        lambda: pv.evaluate(pair, rows, num_samples=2),
        lambda: pv.compile_step(pair, rows, "semisupervised", backend="graph"),
    ):
        with pytest.raises(DataError, match=r"5"):
            call()


# ------------------------------------------------------------------------------------------------ parameters
def functions():
    """x ~ Normal(loc, 1) whatever z is, by pyro.param."""

    def model(x):
        loc = pyro.param("loc", torch.zeros(3))
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(loc + 0 * z, 1.0).to_event(1), obs=x)

    def guide(x):
        mean = pyro.param("mean", torch.zeros(1))
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(mean.expand(len(x), 1), 1.0).to_event(1))

    return model, guide


def test_fit_goes_on_from_what_svi_trained_and_says_so(caplog):
    x, programs = torch.randn(100, 3) + 5, functions()
    pyro.param("another", torch.ones(1))
    svi = SVI(*programs, pyro.optim.Adam({"lr": 0.3}), Trace_ELBO())
    for _ in range(60):
        svi.step(x)
    before = pv.log_evidence(programs, x, num_samples=5).mean
    run = pv.fit(programs, x, epochs=1, lr=1e-7, progress=False)
    assert abs(pv.log_evidence(run, x, num_samples=5).mean - before) < 0.05
    assert "goes on from what Pyro's parameter store holds of loc, mean" in caplog.text
    with run.parameters_in_pyro():
        assert (pyro.param("loc") - 5).abs().max() < 1 and "another" not in pyro.get_param_store()


class ParamModel(Model):
    def forward(self, x):
        loc = pyro.param("loc", torch.zeros(3))
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(loc + 0 * z[..., :1], 1.0).to_event(1), obs=x)


def test_copies_and_pickles_carry_the_parameters_that_programs_made():
    x = torch.randn(100, 3) + 5
    trained = pv.fit((ParamModel(normal), Guide()), x, epochs=20, lr=0.1, progress=False).pair
    truth = pv.log_evidence(trained, x, num_samples=50).mean
    for copied in (copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))):
        again = copied(trained)
        assert abs(pv.log_evidence(again, x, num_samples=50).mean - truth) < 0.1
        pv.fit(again, -x, epochs=1, lr=1.0, progress=False)
        assert abs(pv.log_evidence(trained, x, num_samples=50).mean - truth) < 0.1  # it has its own
    with pytest.raises(ContractError, match="is a function, whose parameters belong to it"):
        copy.deepcopy(pv.fit(functions(), x, steps=1, progress=False).pair)


def test_pyros_elbo_is_reported_per_datum_under_a_subsampled_plate():
    x = torch.randn(200, 3)
    found = []
    for objective in ("elbo", Trace_ELBO()):
        torch.manual_seed(0)
        run = pv.fit((Model(normal, 200), Guide(200)), (x, x), objective, epochs=2, lr=1e-3, batch_size=20, progress=False)
        found.append(run.records[-1])
    for part in ("train", "valid"):
        assert abs(found[0][part] - found[1][part]) < 0.2


def test_pyros_classes_optimizers_and_autoguides_are_told_what_to_give():
    x, pair = torch.randn(30, 3), (Model(normal), Guide())
    with pytest.raises(OptionError, match=r"the class Trace_ELBO; give an instance, Trace_ELBO\(\)"):
        pv.fit(pair, x, Trace_ELBO, progress=False)
    with pytest.raises(OptionError, match="optimizer is Pyro's Adam; give torch.optim's by name"):
        pv.fit(pair, x, optimizer=pyro.optim.Adam({"lr": 1e-2}), progress=False)
    with pytest.raises(ContractError, match="AutoNormal.*not amortized"):
        pv.fit((pair[0], AutoNormal(pair[0])), x, progress=False)


def test_double_precision_throughout(tmp_path):
    x = torch.randn(40, 3).double()
    pair = pv.pairs.vae(pv.data.as_data(x).spec, latent_dim=2, hidden=[4])
    pair.model.double(), pair.guide.double()
    run = pv.fit(pair, x, epochs=1, out=tmp_path / "run", progress=False, tensorboard=False)
    loaded = pv.load(tmp_path / "run", data=x)
    for each in (run, loaded):
        assert pv.sample(each, 2)["x"].dtype == pv.encode(each, x)["z"].dtype == torch.float64
    torch.testing.assert_close(pv.encode(run, x)["z"], pv.encode(loaded, x)["z"])
    assert pv.resume(tmp_path / "run", data=x, epochs=2, progress=False).step == 2
