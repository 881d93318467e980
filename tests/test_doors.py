"""One rule for every verb: a pair first, as a Run, its folder, a Pair or (model, guide); then data in any form."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import pyrovae as pv
from pyrovae.errors import ContractError, DataError, OptionError, PyrovaeError, RunError
from pyrovae.evaluation import kl_per_dim, posterior_moments
from pyrovae.evaluation.classification import class_probabilities


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    """A pair with a class y and a style z, trained for a moment."""
    pair = pv.pairs.m2(digits.spec, latent_dim=2, hidden=[20])
    return pv.fit(pair, digits, steps=5, progress=False, out=tmp_path_factory.mktemp("doors") / "m2")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    pair = pv.pairs.cvae(CONDITIONED.spec, latent_dim=2)
    return pv.fit(pair, CONDITIONED, steps=2, progress=False, out=tmp_path_factory.mktemp("doors") / "cvae")


X = (torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
HOLES = {"x": X, "mask": torch.ones(6, 8, 8).index_fill(1, torch.arange(4), 0.0)}
LABELLED = {"x": X, "y": torch.arange(6)}
Z = {"y": torch.arange(3), "z": torch.zeros(3, 2)}
AIS = {"num_chains": 1, "num_distributions": 2, "pilot_chains": 2, "num_leapfrog": 1}

SGD = {"objective": "enum", "backend": "graph", "matmul": "mkl", "optimizer": "SGD", "lr": 0.0}

VERBS = {
    "compile_step": lambda pair: pv.compile_step(pair, {"x": X}, **SGD)({"x": X}),
    "check": lambda pair: str(pv.check(pair, X)),
    "evaluate": lambda pair: pv.evaluate(pair, LABELLED, num_samples=3).to_json(),
    "log_evidence": lambda pair: pv.log_evidence(pair, X, num_samples=3),
    "bdmc": lambda pair: pv.bdmc(pair, 3, **AIS),
    "gaps": lambda pair: pv.gaps(pair, X[:2], num_samples=3, num_steps=2, ais=AIS).ais,
    "posterior": lambda pair: pv.posterior(pair, X, num_samples=2),
    "encode": lambda pair: pv.encode(pair, X),
    "decode": lambda pair: pv.decode(pair, Z),
    "reconstruct": lambda pair: pv.reconstruct(pair, X, num_samples=2),
    "reconstruction_error": lambda pair: pv.reconstruction_error(pair, X),
    "impute": lambda pair: pv.impute(pair, HOLES, num_samples=3),
    "complete": lambda pair: pv.complete(pair, HOLES, num_steps=3),
    "classify": lambda pair: pv.classify(pair, LABELLED),
    "class_probabilities": lambda pair: class_probabilities(pair, X),
    "classify_clusters": lambda pair: pv.classify_clusters(pair, LABELLED, LABELLED, site="y"),
    "classify_features": lambda pair: pv.classify_features(pair, LABELLED, LABELLED, "knn"),
    "analogies": lambda pair: pv.analogies(pair, X),
    "class_samples": lambda pair: pv.class_samples(pair, 2),
    "sample": lambda pair: pv.sample(pair, 3),
    "traverse": lambda pair: pv.traverse(pair, X[0], site="z"),
    "interpolate": lambda pair: pv.interpolate(pair, X[0], X[1], num=3),
    "manifold": lambda pair: pv.manifold(pair, num=2, site="z"),
    "posterior_moments": lambda pair: posterior_moments(pair, X),
    "kl_per_dim": lambda pair: kl_per_dim(pair, X),
    "to_arviz": lambda pair: pv.to_arviz(pair, X, num_samples=3, num_chains=1)["posterior"]["z"].values,
}
CONDITIONED = pv.data.load("digits", transforms=["quadrants:given=2"])
GIVEN = {"conditional_samples": lambda pair: pv.conditional_samples(pair, CONDITIONED)}


def figures(result):
    """All numbers of a result, as one list."""
    if dataclasses.is_dataclass(result):
        result = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    if isinstance(result, dict):
        return [number for value in result.values() for number in figures(value)]
    if isinstance(result, (tuple, list)):
        return [number for value in result for number in figures(value)]
    if isinstance(result, (torch.Tensor, np.ndarray)):
        return torch.as_tensor(result).flatten().tolist()
    return [result]


def same_through_every_door(verb, run):
    found = []
    for pair in (run, str(run.path), run.path, run.pair, (run.model, run.guide)):
        torch.manual_seed(1)
        found.append(figures(verb(pair)))
    for other in found[1:]:
        np.testing.assert_equal(other, found[0])


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_its_folder_a_pair_and_a_tuple_give_the_same_numbers(verb, run):
    same_through_every_door(VERBS[verb], run)


def test_the_same_of_conditional_pairs(conditional):
    same_through_every_door(GIVEN["conditional_samples"], conditional)


@pytest.mark.parametrize("verb", [*VERBS, "conditional_samples"])
def test_what_is_no_pair_is_told_what_is_one(verb, run, tmp_path):
    call = {**VERBS, **GIVEN}[verb]
    with pytest.raises(ContractError, match="M2 came alone where a pair is expected; give both programs"):
        call(run.model)
    with pytest.raises(ContractError, match="got int; a pair comes first, as one argument: a Run, a run's folder, a Pair"):
        call(3)
    with pytest.raises(RunError, match=r"'nowhere' is no folder of a run; a pair comes first"):
        call("nowhere")
    with pytest.raises(RunError, match="is no run folder"):
        call(tmp_path)


OLD = {
    "check": lambda m, g: pv.check(m, g, X),
    "log_evidence": lambda m, g: pv.log_evidence(m, g, X),
    "bdmc": lambda m, g: pv.bdmc(m, g, 3),
    "gaps": lambda m, g: pv.gaps(m, g, X),
    "posterior": lambda m, g: pv.posterior(m, g, X),
    "reconstruct": lambda m, g: pv.reconstruct(m, g, X),
    "impute": lambda m, g: pv.impute(m, g, HOLES),
    "complete": lambda m, g: pv.complete(m, g, HOLES),
    "analogies": lambda m, g: pv.analogies(m, g),
    "traverse": lambda m, g: pv.traverse(m, g, X[:1]),
    "interpolate": lambda m, g: pv.interpolate(m, g, X[:1], X[1:2]),
    "classify": lambda m, g: pv.classify(g, LABELLED),
    "sample": lambda m, g: pv.sample(m, 3),
}


@pytest.mark.parametrize("verb", OLD)
def test_programs_one_by_one_are_told_the_new_call(verb, run):
    with pytest.raises(ContractError, match=r"log_evidence\(\(model, guide\), data\)"):
        OLD[verb](run.model, run.guide)


def test_the_old_compile_step_is_told_the_rule(run):
    with pytest.raises(RunError, match="'elbo' is no folder of a run; a pair comes first, as one argument"):
        pv.compile_step("elbo", run.model, run.guide, {"x": X})


def test_a_step_is_compiled_for_the_first_rows_of_the_training_data(run, digits):
    step = pv.compile_step(run, digits, **SGD)
    assert step.backend == "graph" and bool(step(digits.train[:100]).isfinite())


def test_data_come_in_every_form_that_load_takes(run, digits, tmp_path):
    x = digits.test["x"]
    np.save(tmp_path / "x.npy", np.zeros((20, 8, 8)))
    forms = [x, x.numpy(), x.double(), {"x": x}, digits.test, digits, "digits", digits.test[:], TensorDataset(x), (x, x, x)]
    wanted = pv.encode(run, digits.test)["z"]
    for form in [*forms, DataLoader(TensorDataset(x), batch_size=7)]:
        torch.testing.assert_close(pv.encode(run, form)["z"], wanted)
    assert len(pv.encode(run, str(tmp_path / "x.npy"))["z"]) == 2  # the test part of what load makes of a file
    assert pv.evaluate(run.path, num_samples=2).evidence.value.shape == (250,)  # its own test data
    assert pv.check(run, digits) == pv.check(run, digits.train)


def test_data_that_cannot_be_read_are_refused(run, digits):
    with pytest.raises(OptionError, match=r"evaluate needs data; give data=\.\.\., as in evaluate\(pair, data\)"):
        pv.evaluate(run.pair)
    with pytest.raises(DataError, match="no test part; pass data.train"):
        pv.encode(run, pv.data.load(digits.train))
    with pytest.raises(DataError, match="NaN"):
        pv.reconstruct(run, X.where(X > 0, torch.nan))
    with pytest.raises(PyrovaeError, match="no data set is called 'digit'"):
        pv.log_evidence(run, "digit")
    with pytest.raises(ContractError, match="expected one datum"):
        pv.traverse(run, X, site="z")


def test_reports_and_stages_take_runs_and_builders(run, digits, tmp_path):
    assert pv.write_report(run.path, tmp_path / "report.html").stat().st_size > 1000
    with pytest.raises(OptionError, match="a report is of a Run or a run's folder; got Pair"):
        pv.write_report(run.pair)
    torch.manual_seed(5)
    built = [
        pv.fit_stages(lambda spec: pv.pairs.m2(spec, latent_dim=2, hidden=[5]), digits, steps=1, seed=seed, progress=False)
        for seed in (3, 3, 4)
    ]
    first, again, other = (pv.encode(each, X)["z"] for each in built)
    assert torch.equal(first, again) and not torch.allclose(first, other)


def test_opening_a_folder_leaves_the_callers_random_numbers(run):
    torch.manual_seed(0)
    pv.encode(str(run.path), X)
    drawn = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(3))


def test_verbs_leave_modes_and_gradients_as_they_were(run):
    run.model.train()
    pv.log_evidence(run, X, num_samples=2)
    assert run.model.training and torch.is_grad_enabled()


ENGINE = (".objectives", ".compile", ".train", ".generate", ".evidence", ".evaluation", ".effects")
PACKAGES = ("", ".data", *ENGINE, ".runs", ".report")


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_listed_and_no_module_bears_the_name_of_a_function(package):
    room = importlib.import_module(f"pyrovae{package}")
    modules = {info.name for info in pkgutil.iter_modules(room.__path__)}
    names = set(room.__all__)
    assert all(hasattr(room, name) for name in names)
    functions = {name for name in names if inspect.isfunction(getattr(room, name))}
    assert not functions & modules, "a module would hide a function, or a function its module"


@pytest.mark.parametrize("verb", [pv.log_evidence, pv.evaluate, pv.check])
def test_a_guide_in_the_models_place_is_refused(verb, digits):
    pair = pv.pairs.vae(digits.spec, latent_dim=2, hidden=[5])
    with pytest.raises(ContractError, match=r"observes nothing; give a site obs=x, or swap the two programs"):
        verb((pair.guide, pair.model), digits.test[:5])
