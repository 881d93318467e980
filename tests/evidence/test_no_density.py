"""Where no density is: log p(x), bounds and draws are refused with the reason, reconstructions are measured instead."""

from __future__ import annotations

import math

import pytest
import torch

import pyrovae as pv
from pyrovae import pairs
from pyrovae.cli import main
from pyrovae.errors import ContractError, OptionError


def made(recipe, spec, **options):
    torch.manual_seed(0)
    return recipe(spec, **options)


def test_the_relaxation_has_the_kl_of_its_formula_and_a_log_p(digits):
    pair = made(pairs.ae, digits.spec, latent_dim=4, hidden=[20], relax=0.3)
    code = pair.guide.encoder(digits.test["x"])
    kl = code.square().sum(1) / 2 - 4 * (math.log(0.3) + (1 - 0.3**2) / 2)
    found = pv.evaluate(pair, digits.test, num_samples=200)
    assert found.kl["z"].total == pytest.approx(float(kl.mean().detach()), rel=1e-4)
    assert found.elbo[0] < found.evidence.mean and found.reason is None and "log p(x)" in repr(found)


def test_log_p_of_a_deterministic_autoencoder_is_refused_with_the_reason(digits):
    pair = made(pairs.ae, digits.spec, hidden=[20])
    for method in ("importance", "ais", "bridge", "exact"):
        with pytest.raises(ContractError, match="site 'z' of the guide is a point and no density .* relax=0.1"):
            pv.log_evidence(pair, digits.test, method=method)
        with pytest.raises(ContractError, match="no log p"):
            pv.evaluate(pair, digits.test, method=method)
    for objective in ("elbo", "meanfield", "iwae", "dreg", "stl"):
        with pytest.raises(ContractError, match="is a bound on log p.*is a point and no density.*objective 'energy'"):
            pv.fit(pair, digits, objective, epochs=1, progress=False)
    with pytest.raises(ContractError, match=r"no prior of its latent site .*relax=0.1, which gives it the prior N\(0, I\)\.$"):
        pv.sample(pair, 3)
    assert pv.objectives.get("energy").bound == pv.objectives.get("contraction").bound == "none"
    assert pv.objectives.get({"name": "contraction", "base": "elbo"}).bound == "lower"
    evaluation = pv.evaluate(pair, digits.test)
    assert evaluation.evidence is None and "no log p(x): latent site 'z'" in repr(evaluation)
    with pytest.raises(ContractError, match="no ELBO"):
        _ = evaluation.elbo


def test_an_energy_of_grey_pixels_is_evaluated_by_its_reconstructions(grey):
    pair = made(pairs.vae, grey.spec, hidden=[20], likelihood="bernoulli-grey")
    evaluation = pv.evaluate(pair, grey.test)
    assert "site 'x' is an energy" in evaluation.reason and "squared error" in repr(evaluation)
    assert evaluation.kl["z"].total > 0 and evaluation.to_json()["log_evidence"] is None


def test_the_command_line_of_autoencoders(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "ae", "--data", "digits", "--epochs", "2", "--latent_dim", "2", "--out", "ae"]) == 0
    noise = "corrupt:process=salt-and-pepper,rate=0.2"
    assert main(f"train dae --data digits --transforms {noise} --epochs 1 --out dae".split()) == 0
    capsys.readouterr()
    for run in ("ae", "dae"):
        assert main(["evaluate", run]) == 0
        printed = capsys.readouterr().out
        assert "squared error = " in printed and "cross-entropy = " in printed and "no log p(x): latent site" in printed
    assert main(["evaluate", "ae", "--method", "ais"]) == 2 and "no log p(x)" in capsys.readouterr().err
    assert main(["sample", "ae", "--out", "ae.png"]) == 2 and "Trace Shapes" not in capsys.readouterr().err
    assert main(["report", "ae"]) == 0
    names = {path.stem for path in (tmp_path / "ae/pictures").iterdir()}
    assert names == {"learning_curves", "reconstructions", "traversals", "latent_scatter"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: pairs.dae(s), "has no corrupted x: transform the data, as in transforms=.'corrupt:process=masking"),
        (lambda s: pairs.dvae(s), "has no corrupted x"),
        (lambda s: pairs.ae(s, relax=-1), "relax is -1; expected the scale of a Gaussian around the code"),
        (lambda s: pairs.sparse_ae(s, penalty="l2"), "no penalty is called 'l2'; did you mean 'l1'"),
        (lambda s: pairs.sparse_ae(s, penalty="kl-to-rate", relax=0.1), "relax of pair sparse-ae goes with penalty='l1'"),
        (lambda s: pairs.sparse_ae(s, strength=0), "strength is 0; expected a positive number"),
        (lambda s: pairs.cae(s, likelihood="gaussian", scale="predicted"), "tied weights give one number"),
        (lambda s: pairs.cae(s, of="latent"), "of is 'latent'; expected 'encoder' or 'decoder'"),
        (lambda s: pv.objectives.get("contraction:of=decoder,jacobian=closed-form"), "is for of='encoder'"),
        (lambda s: pv.objectives.get("contraction:weight=-1"), "weight is -1; expected a number of at least 0"),
        (lambda s: pv.objectives.get("sparsity:rate=2"), "rate is 2; expected a number between 0 and 1"),
        (lambda s: pv.objectives.get("sparsity:base=iwae"), "no base of sparsity is called 'iwae'"),
    ],
)
def test_options_that_make_no_sense_are_refused(grey, make, message):
    with pytest.raises(OptionError, match=message):
        make(grey.spec)


def test_penalties_refuse_codes_and_guides_that_they_are_not_for(digits):
    pair = made(pairs.ae, digits.spec, hidden=[20])
    with pytest.raises(ContractError, match="sparsity needs codes in .0, 1.; end the encoder with a sigmoid"):
        pv.fit(pair, digits, "sparsity", epochs=1, progress=False)
    with pytest.raises(ContractError, match="Jacobian of MLPEncoder has no closed form here; use jacobian='autograd'"):
        pv.fit(pair, digits, "contraction:jacobian=closed-form", epochs=1, progress=False)
