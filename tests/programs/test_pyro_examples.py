"""Pyro's own examples as they come: checked, trained, evaluated, sampled, and scored as Pyro scores them."""

from __future__ import annotations

from pathlib import Path

import pyro
import pyro.distributions as dist
import pyro_examples
import pytest
import torch
from pyro.infer import config_enumerate

import pyrovae as pv
from pyrovae.core.contract import check_batch
from pyrovae.core.pair import as_pair
from pyrovae.errors import ContractError

ROOT = Path(__file__).parents[2]
NAMES = list(pyro_examples.EXAMPLES)
GREY = [name for name in NAMES if name in ("vae", "ss_vae", "ss_vae, labels", "cvae")]


def example(name):
    torch.manual_seed(0)
    made = pyro_examples.EXAMPLES[name]()
    return as_pair(pv.Pair(made.model, made.guide, sites=made.sites)), made


@pytest.mark.parametrize("name", NAMES)
def test_check_takes_it_and_says_how(name):
    pair, made = example(name)
    report = check_batch(pair, made.batch)
    assert report.rows == made.rows and ("particles as rows" in str(report)) == made.rows
    assert report.is_density == (name not in GREY)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_the_elbo_of_one_particle_is_pyros_at_the_same_draws(name, training):
    pair, made = example(name)
    made.model.__self__.train(training)
    check_batch(pair, made.batch)
    torch.manual_seed(1)
    theirs = made.loss.loss(made.model, made.guide, **made.batch)
    torch.manual_seed(1)
    ours = pv.objectives.get("elbo").loss(pair.model, pair.guide, **made.batch)
    assert ours == pytest.approx(theirs, rel=1e-5)


def run_through(name):
    """The example trained for a moment, by the lines of its adapter: the run, its evaluation and draws."""
    torch.manual_seed(0)
    made = pyro_examples.EXAMPLES[name]()
    rows = {key: value.repeat(6, *[1] * (value.dim() - 1)) for key, value in made.batch.items()}
    names = {"pv": pv, "config_enumerate": config_enumerate, "model": made.model, "guide": made.guide, **rows}
    if "config_enumerate" in pyro_examples.ADAPTERS[name]:
        names["guide"] = made.model.__self__.guide
    exec(pyro_examples.ADAPTERS[name], names)
    pair, data = names["pair"], names["data"]
    pv.check(pair, data)
    run = pv.fit(pair, data, steps=3, batch_size=8, compile=False, progress=False)
    return run, pv.evaluate(run, num_samples=10), pv.sample(run, 3, like=names["like"])


@pytest.mark.parametrize("name", NAMES)
def test_each_is_trained_evaluated_and_sampled_by_five_lines(name):
    run, evaluation, drawn = run_through(name)
    assert len(run.history) == 1 and run.history["train"].notna().all()
    assert (evaluation.evidence is None) == (name in GREY)
    if name in GREY:
        assert "is an energy" in evaluation.reason and evaluation.reconstruction is not None
        with pytest.raises(ContractError, match="is an energy"):
            pv.log_evidence(run, run.data)
    else:
        assert evaluation.evidence.value.isfinite().all()
    assert all(len(values) == 3 and values.isfinite().all() for values in drawn.values())
    assert len(pyro_examples.ADAPTERS[name].strip().splitlines()) <= 5


def test_grey_pixels_are_told_once_and_binary_ones_not(caplog):
    for name, times in (("vae", 1), ("vae, binary", 0)):
        caplog.clear()
        pair, made = example(name)
        for _ in range(2):
            check_batch(pair, made.batch)
        assert sum("trains an energy" in record.message for record in caplog.records) == times


def test_what_lies_beyond_the_pixels_is_refused_and_so_is_grey_without_being_told():
    pair, made = example("vae")
    with pytest.raises(ContractError, match="observed 'obs' leaves the support .*Bernoulli"):
        check_batch(pair, {"x": 255 * made.batch["x"]})

    class Told(pyro_examples.VAE):
        def model(self, x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("latent", dist.Normal(x.new_zeros(3), 1.0).to_event(1))
                pyro.sample("obs", dist.Bernoulli(self.decoder(z)).to_event(1), obs=x.reshape(-1, 16))

    told = Told()
    with pytest.raises(ContractError, match="observed 'obs' leaves the support .*Bernoulli"):
        check_batch(as_pair((told.model, told.guide)), made.batch)


def test_the_page_says_what_is_done():
    page = (ROOT / "docs" / "programs.md").read_text(encoding="utf-8")
    for name, adapter in pyro_examples.ADAPTERS.items():
        made = pyro_examples.EXAMPLES[name]()
        lines = adapter.strip().splitlines()
        assert "\n".join(f"    {line}" for line in lines) in page
        row = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1] == ("rows" if made.rows else "on the left")
        assert ("energy" in cells[2]) == (name in GREY) and ("log p" in cells[2]) == (name not in GREY)
        assert ("like=" in cells[3]) == ("like = None" not in adapter)
        assert int(cells[4]) == len(lines) - adapter.count("like = None")


def test_a_factor_of_the_guide_is_refused_by_bounds_and_left_out_of_weights():
    pair, made = example("scanvi, labels")
    assert "the guide has a factor" in str(check_batch(pair, made.batch))
    with pytest.raises(ContractError, match="pyro.factor, a loss of its own, which IWAE"):
        pv.objectives.get("iwae:num_particles=2").loss(pair.model, pair.guide, **made.batch)
