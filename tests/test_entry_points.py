"""The table of entry points: every public function x every kind of bad value is one sentence of ours."""

from __future__ import annotations

import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
import verbs
from tiny_pairs import digits as tiny_digits
from verbs import BUILDER, CONDITIONAL, DIGITS, FILE, GAPS, PATH, QUADRANTS, ROWS, RUN, TABLE, VAE, VERBS, VRNN

import pyrovae as pv
from pyrovae.errors import PyrovaeError

CALLS = list(verbs.bad_calls())


@pytest.fixture(scope="module")
def world(digits, tmp_path_factory):
    """What the names in the table stand for."""
    folder = tmp_path_factory.mktemp("entry-points")
    quiet = {"steps": 2, "progress": False, "tensorboard": False}

    def trained(recipe, data, **options):
        return pv.fit(getattr(pv.pairs, recipe)(data.spec, **options), data, **quiet, out=folder / recipe)

    quadrants = pv.data.load("digits", transforms=["quadrants:given=2"])
    gaps = pv.data.load("digits", transforms=["missing:rate=0.3"])
    table = tiny_digits("table")
    run = trained("m2", digits, latent_dim=2, hidden=[8])
    return {
        RUN: run,
        "swapped programs": (run.guide, run.model),
        VAE: trained("vae", digits, latent_dim=2, hidden=[8]),
        VRNN: trained("vrnn", digits, latent_dim=2, recurrent_dim=3, hidden=[4]),
        TABLE: trained("table_vae", table, latent_dim=2, hidden=[8]),
        ROWS: table.test,
        CONDITIONAL: trained("cvae", quadrants, latent_dim=2, hidden=[8]),
        QUADRANTS: quadrants.test.subset(torch.arange(3)),
        GAPS: pv.pairs.vae(gaps.spec, latent_dim=2, hidden=[8]),
        PATH: folder / "m2",
        BUILDER: lambda spec: pv.pairs.vae(spec, latent_dim=2, hidden=[4]),
        DIGITS: digits,
        FILE: folder / "report.html",
    }


def arguments(world, right):
    return {name: world.get(value, value) if isinstance(value, str) else value for name, value in right.items()}


def called(world, verb_name, /, **changes):
    verb = VERBS[verb_name]
    return verb.function(**{**arguments(world, verb.right), **arguments(world, changes)})


def test_every_public_function_is_in_the_table():
    public = {name for name in pv.__all__ if verbs.is_public(name)}
    assert public <= VERBS.keys() and len(CALLS) >= 300


@pytest.mark.parametrize("name", VERBS)
def test_the_right_call_is_right(world, name):
    called(world, name)


@pytest.mark.parametrize(("name", "argument"), dict.fromkeys((name, argument) for name, argument, _, _ in CALLS))
def test_a_bad_value_is_refused_in_a_sentence(world, name, argument):
    for kind, value in [(kind, value) for n, a, kind, value in CALLS if (n, a) == (name, argument)]:
        torch.manual_seed(0)
        try:
            called(world, name, **{argument: copy.copy(value)})
        except PyrovaeError as error:
            message = str(error)
        else:
            pytest.fail(f"{kind}: {value!r} is taken")
        assert len(message.splitlines()) == 1 and message.rstrip().endswith((".", ")", "'")), f"{kind}: {message}"
        told = {argument, *verbs.words(argument, value)}
        assert any(word in message for word in told), f"{kind}: {message!r} names none of {sorted(told)}"


@pytest.mark.parametrize("name", VERBS)
def test_an_unknown_argument_is_refused_with_the_nearest(world, name):
    verb = VERBS[name]
    known = [each for each, p in verb.parameters.items() if each != verb.pair and p.kind is not p.VAR_KEYWORD] or ["pair"]
    passes_on = any(p.kind is p.VAR_KEYWORD for p in verb.parameters.values())
    hint = "" if passes_on else f"; did you mean '{known[-1]}'"
    with pytest.raises(PyrovaeError, match=f"'{known[-1]}x'{hint}"):
        called(world, name, **{f"{known[-1]}x": 1})


@pytest.mark.parametrize("name", VERBS)
def test_surplus_and_missing_arguments_are_refused(world, name):
    with pytest.raises(PyrovaeError, match="arguments by their place"):
        VERBS[name].function(*[None] * 20)
    needed = [n for n, p in VERBS[name].parameters.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    for each in needed:
        right = arguments(world, VERBS[name].right)
        right.pop(each)
        with pytest.raises(PyrovaeError, match=f"needs {each}, as in"):
            VERBS[name].function(**right)


def test_what_a_program_raises_is_told_in_a_short_sentence():
    def model(x):
        with pv_plate(x):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.sum(-1, keepdim=True).expand(*z.shape[:-1], 3), 1.0).to_event(1), obs=x)

    def guide(x):
        with pv_plate(x):
            pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), x[:, :1] * (len(x) < 50)).to_event(1))

    def pv_plate(x):
        return pyro.plate("data", len(x), dim=-1)

    with pytest.raises(PyrovaeError, match="guide fails on a batch of .*ValueError: Expected parameter scale") as caught:
        pv.posterior((model, guide), torch.rand(900, 3) + 0.1)
    assert len(str(caught.value)) < 500 and len(str(caught.value).splitlines()) == 1
