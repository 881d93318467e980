"""One suite over every tiny configuration of the recipes, each fitted once; a model or guide in none fails the first test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from tiny_pairs import ROWS, build, digits

import pyrovae as pv
from pyrovae import guides, models
from pyrovae.core.inference import precision_context
from pyrovae.core.parameters import parameters
from pyrovae.core.program import inputs
from pyrovae.core.steps import StepModel, plain_name
from pyrovae.data.spec import GREY_KINDS
from pyrovae.files import load_state
from pyrovae.objectives import Given
from pyrovae.objectives.moves import moved_parameters, prepare_objective
from pyrovae.objectives.objective import as_updates
from pyrovae.pairs.catalogue import CATALOGUE

EPOCHS = 2


@dataclass
class Fitted:
    """A row's pair after its one fit, and what the fit left."""

    row: tuple
    pair: pv.Pair
    data: pv.data.Data
    run: pv.Run
    path: Path

    @property
    def has_density(self):
        return pv.pairs.get(self.row[0]).has_density(self.row[2])

    @property
    def site(self):
        """The latent that pictures traverse; None of a pair without latents."""
        name = next(iter(sites_of(self.row)), None)
        return f"{name}_1" if self.in_steps else name

    @property
    def in_steps(self):
        """Whether the pair's observed site is one for each step of x."""
        return isinstance(self.pair.model, StepModel)

    def rows(self, first, last):
        """Test data without their labels, which only a model of a class that is seen is told."""
        batch = self.data.test[:last]
        left_out = {"index", "y"} - (inputs(self.pair.model, batch).keys() & {"y"})
        return {key: value[first:last] for key, value in batch.items() if key not in left_out}


def sites_of(row):
    """The latent sites of a row's pair, first the one that pictures traverse."""
    name, _, options = row
    own, smoothing = pv.pairs.get(name).sites, options.get("smoothing")
    if name == "rbm-vae" and smoothing is not None:  # of which the smoothed bits are sites as well, or alone
        groups = [f"zeta{g}" for g in range(1, options.get("num_groups", 1) + 1)]
        return ("zeta",) if smoothing == "gaussian-integral" else (*own, *groups)
    return (*own, "lam") if options.get("posterior") == "auxiliary" else own


def fit_row(row, folder):
    pair, data = build(*row)
    options = {"progress": False, "tensorboard": False, "lr": 3e-3, "compile": False}
    return Fitted(row, pair, data, pv.fit(pair, data, epochs=EPOCHS, out=folder / "run", **options), folder / "run")


OWN = (guides.ConditionalPrior, guides.TopDownBernoulli)  # guides that are the model's prior
BITS = ("asc", "categorical-vae", "conditional-sbn", "discrete-vae", "fsc", "rbm-vae", "sbn")  # and classes, and words


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: f"{row[0]} {row[1]} {'-'.join(map(str, row[2].values()))}")
def row(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(row, tmp_path_factory):
    return fit_row(row, tmp_path_factory.mktemp("row"))


def test_every_recipe_model_and_guide_has_a_row():
    built = [build(*row)[0] for row in ROWS]
    assert {row[0] for row in ROWS} == set(CATALOGUE)
    for package, attribute in ((models, "model"), (guides, "guide")):
        programs = [getattr(pair, attribute) for pair in built]
        programs = [getattr(p, "own", p) for p in programs]  # of a pair in steps
        assert {type(getattr(p, "program", p)).__name__ for p in programs} == set(package.__all__)


def test_check_passes_the_facts_hold_and_every_parameter_gets_a_gradient(row):
    pair, data = build(*row)
    known = pv.pairs.get(row[0])
    batch = data.train[torch.arange(20)]
    report = pv.check(pair, batch)
    assert report.is_density == known.has_density(row[2]) and "x" in {s.name for s in report.sites}
    assert {site.name for site in report.sites if site.kind == "latent"} == {*sites_of(row)}
    assert data.spec.kind in known.kinds
    objective = pv.objectives.get(pair.objective)
    prepare_objective(objective, pair.model, pair.guide, batch)
    moved = moved_parameters(objective, pair.model, pair.guide)
    gradients = {}
    for yielded in objective.updates(Given(pair.model, pair.guide, [batch] * objective.num_batches, data_size=1000)):
        for update in as_updates(yielded):
            found = torch.autograd.grad(update.loss, moved[update.name], allow_unused=True, retain_graph=True)
            gradients |= {id(p): g for p, g in zip(moved[update.name], found, strict=True) if g is not None and (g != 0).any()}
    for name, parameter in parameters(pair.model, pair.guide).items():
        still = row[0] == "rae" and name.startswith("model.prior.")  # which was fitted, and begins at its best
        assert id(parameter) in gradients or still or not parameter.requires_grad, name  # or trained in a stage before


def test_its_bound_rises_and_is_estimated(fitted):
    history, few = fitted.run.history, fitted.data.test
    objective = pv.objectives.get(fitted.pair.objective)
    if len(objective.moves) == 1 and not isinstance(objective, pv.objectives.CodeDensity):  # an adversary costs reconstruction
        assert history["valid"].iloc[-1] > history["valid"].iloc[0]
    assert history.select_dtypes("number").notna().all(axis=None)
    assert load_state(fitted.path / "checkpoint.safetensors")["step"] == EPOCHS * fitted.data.train.num_batches(100)
    figures = pv.evaluate(fitted.run, few, num_samples=20).to_json()
    if not fitted.has_density:
        assert figures["log_evidence"] is None and 0 < figures["squared_error"] < 64 and "density" in figures["reason"]
        return
    assert figures["elbo"] <= figures["log_evidence"] + 1e-4 and figures["elbo_stderr"] > 0
    if fitted.site is None:
        assert figures["elbo"] == pytest.approx(float(pv.log_evidence(fitted.run, few, "exact").value.mean()), rel=1e-5)
        return
    kl, dims = figures["kl"][fitted.site], figures["kl_per_dim"][fitted.site]
    report = pv.check(fitted.pair, fitted.data.train[torch.arange(5)])
    name = plain_name(fitted.site) if fitted.in_steps else fitted.site
    analytic = next(site for site in report.sites if site.name == name).analytic_kl
    options = fitted.row[2]  # a prior, one-hot vectors or directions, of no product
    joint = (
        fitted.row[0] in ("discrete-vae", "rbm-vae", "s-vae", "kalman-vae")
        or options.get("num_classes", 0) > 2
        or {"hyperspherical", "dirichlet"} & {str(value) for value in options.values()}
    )
    if not analytic or joint:
        assert dims is None and kl > -0.1  # no product over dimensions
    else:
        assert len(dims) == figures["latent_dims"][fitted.site]
        assert (kl > 0) != isinstance(
            fitted.pair.guide, (guides.ConditionalPrior, guides.TopDownBernoulli)
        )  # a guide that is the prior


def test_it_reconstructs_and_generates(fitted):
    pair, x, shape = fitted.pair, fitted.rows(0, 5), fitted.data.spec.shape
    one, other = fitted.rows(0, 1), fitted.rows(1, 2)
    assert pv.reconstruct(pair, x, num_samples=3).shape == x["x"].shape
    if fitted.site is None:
        assert pv.sample(pair, 4, like=one)["x"].shape == (4, *shape)
        return
    *places, dims = pv.posterior(pair, one)[fitted.site].shape[2:]
    if places or pair.recipe["name"] in BITS:  # codes, which lie in no space to walk in
        assert pv.sample(pair, 4, like=one)[fitted.site].shape == (4, *places, dims)
        return
    by_steps = fitted.in_steps and not hasattr(pair.model.own, "last")
    shown = shape[1:] if by_steps else shape  # pictures of a latent are of its own step
    assert pv.traverse(pair, one, site=fitted.site).shape == (dims, 11, *shown)
    assert pv.interpolate(pair, one, other, num=5).shape == (5, *shown)
    if fitted.has_density:
        drawn = pv.sample(pair, 4, like=one)
        assert drawn["x"].shape == (4, *shape) and drawn[fitted.site].shape == (4, dims)


def test_it_is_saved_and_loaded(fitted):
    pair, again = fitted.pair, pv.load(fitted.path)
    assert repr(again.pair.recipe) == repr(pair.recipe) and again.records == fitted.run.records
    assert again.data.spec == fitted.data.spec  # the whole set, with its transforms
    own, loaded = parameters(pair.model, pair.guide), parameters(again.model, again.guide)
    assert own.keys() == loaded.keys()
    assert [name for name in own if not torch.equal(own[name], loaded[name])] == []
    few = fitted.data.test
    if fitted.has_density:
        same = [pv.log_evidence(p, few, num_samples=5).value for p in (pair, again.pair)]
    else:
        same = []
        for p in (pair, again.pair):
            torch.manual_seed(0)  # of a guide that draws
            same.append(pv.reconstruct(p, fitted.rows(0, 30)))
    assert torch.equal(*same)


def test_it_is_exported_to_arviz(fitted):
    options = {"num_samples": 5, "num_chains": 2, "num_data": 3}
    if isinstance(fitted.pair.model, models.AE):
        with pytest.raises(ValueError, match="the model has no prior of its latent site"):
            pv.to_arviz(fitted.run, **options)
        return
    idata = pv.to_arviz(fitted.run, **options)
    latents = {"posterior", "prior"} if fitted.site else set()
    assert {*latents, "observed_data", "prior_predictive"} <= set(idata.groups())
    assert "log_likelihood" in idata.groups() or not fitted.has_density


def test_in_bf16_draws_and_densities_stay_float32(row):
    pair, data = build(*row)
    batch = data.train[torch.arange(50)]
    objective = pv.objectives.get(pair.objective)
    prepare_objective(objective, pair.model, pair.guide, batch)
    given, bounds = Given(pair.model, pair.guide, [batch] * objective.num_batches), []
    for precision in ("float32", "bf16"):
        torch.manual_seed(0)
        with torch.no_grad(), precision_context(precision, pair.model, pair.guide):
            bounds.append(objective.value(given).mean())
            traced = objective.trace(given)
        numbers = [site["value"] for site in [*traced.model_sites.values(), *traced.guide_sites.values()]]
        scored = traced.log_p if objective.scores_latents else traced.observed
        every = [*numbers, *(traced.log_p[name] for name in scored), bounds[-1]]
        assert {number.dtype for number in every if number.is_floating_point()} == {torch.float32}  # counts are integers
    assert torch.allclose(*bounds, rtol=2e-3, atol=0.05)


# ------------------------------------------------------------------------------------------------ what recipes refuse
@pytest.mark.parametrize("name", CATALOGUE)
def test_recipes_build_on_the_kinds_that_they_take_and_refuse_other_data(name):
    known = pv.pairs.get(name)
    form, options = known.tiny[0].form, {k: v for k, v in known.tiny[0].options.items() if k not in ("likelihood", "scale")}
    spec = digits(form).spec
    for kind in GREY_KINDS:
        other = replace(spec, kind=kind, levels=17 if kind == "levels" else None)
        if kind in known.kinds:
            known.build(other, **options)
        else:
            with pytest.raises(ValueError, match=f"does not score {kind} data"):
                known.build(other, **options)
    bare = pv.data.DataSpec("bare", (6,), spec.kind, levels=spec.keys[spec.main].size)
    for need in known.needs:
        assert need.met(spec)
        with pytest.raises(ValueError, match="bare"):
            known.build(bare, **options)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_recipes_objective_is_that_of_its_default_options(name):
    known = pv.pairs.get(name)
    form = known.tiny[0].form
    pair = known.build(digits(form).spec)
    own, declared = (pv.objectives.get(objective) for objective in (pair.objective, known.objective))
    assert type(own) is type(declared)


def test_recipes_name_wrong_options():
    spec = digits("digits").spec
    with pytest.raises(ValueError, match="no option of pair vae is called 'latent'; did you mean 'latent_dim'"):
        pv.pairs.vae(spec, latent=3)
    with pytest.raises(ValueError, match="no posterior is called 'fullrank'; did you mean 'full-rank'"):
        pv.pairs.vae(spec, posterior="fullrank")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vae", {"num_components": 3}, r"posterior 'diagonal' has no option 'num_components', .* that has it \(mixture\)"),
        ("vae", {"scale": 0.3}, "likelihood 'bernoulli' has no option 'scale', which is 0.3; leave it out"),
        ("hvae", {"prior": "standard", "pseudo_mean": 0.5}, "pseudo_mean of pair hvae goes with prior='vampprior'"),
        ("cae", {"hidden": [9]}, "option hidden of pair cae goes with of='decoder'; leave it out"),
        ("beta-vae", {"gamma": 9.0}, "option gamma of pair beta-vae goes with capacity; leave it out"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused_but_for_runs_of_earlier_versions(name, options, message):
    spec, known = digits("digits").spec, pv.pairs.get(name)
    with pytest.raises(ValueError, match=message):
        known.build(spec, **options)
    option = list(options)[-1]
    known.build(spec, **{**options, option: known.defaults[option]})  # its default changes nothing
    pair = known.rebuild(spec, options)
    assert pair.recipe == {"name": name, "options": {key: value for key, value in options.items() if key != option}}
