"""VAE/GAN: three losses and who gets them, by autograd and by differences; the cases in which it is a VAE, or waits."""

from __future__ import annotations

import math
from dataclasses import replace

import exact
import fits
import pytest
import torch
from fits import state
from steppers import step_of

import pyrovae as pv
from benchmarks.lab.routes import LOSSES, as_by_pythae, norms, routes
from pyrovae.errors import ContractError, OptionError
from pyrovae.nets import Discriminator
from pyrovae.objectives import VAEGAN, FeatureELBO, Given, MeanField
from pyrovae.objectives.moves import moved_parameters, prepare_objective

SIZES = {"latent_dim": 2, "channels": [4], "hidden": 8, "layer": 1}
AS_VAE = {"layer": 0, "gamma": 1.0, "gan_weight": 0.0}  # whose features are the pixels


def tiny(data, **options):
    torch.manual_seed(0)
    return pv.pairs.vae_gan(data.spec, **{**SIZES, **options})


def prepared(grey, **options):
    """The pair, its objective with a discriminator, and what its updates get."""
    pair, batch = tiny(grey), grey.train[torch.arange(20)]
    objective = pv.objectives.get({**pair.objective, **options})
    prepare_objective(objective, pair.model, pair.guide, batch)
    return pair, objective, Given(pair.model, pair.guide, [batch])


# ------------------------------------------------------------------------------------------------ routes
@pytest.mark.parametrize("generator", ["non-saturating", "saturating"])
def test_the_guide_gets_nothing_of_the_gan_and_the_discriminator_nothing_else(grey, generator):
    _, objective, given = prepared(grey, generator=generator)
    found = norms(routes(objective, given))
    zero = {(group, loss) for group in found for loss in LOSSES if found[group][loss] == 0.0}
    assert zero == {("guide", "gan"), ("model", "prior"), ("discriminator", "prior"), ("discriminator", "like")}
    assert all(found[group][loss] > 1e-5 for group in found for loss in LOSSES if (group, loss) not in zero)


def test_the_updates_are_those_of_algorithm_1_by_finite_differences(grey):
    """Along a random direction of each group, the update's gradient is the difference of the paper's loss."""
    pair, objective, given = prepared(grey, generator="saturating", gamma=0.3, real_weight=2.0)
    for module in (pair.model, pair.guide, objective.networks):
        module.double()
        for parameter in module.parameters():  # off the kink at which biases of 0 put empty pixels
            parameter.data += 0.02 * torch.randn_like(parameter)
    given = replace(given, batches=[{**given.batch, "x": given.batch["x"].double()}])
    moved = moved_parameters(objective, pair.model, pair.guide)

    def paper(group):
        torch.manual_seed(3)
        found = objective.losses(given, objective.trace(given))
        gan = 2.0 * found.gan[0] + found.gan[1] + found.gan[2]  # -L_GAN
        prior, like = found.prior.mean(), found.like.mean()
        return {"guide": prior + like, "model": 0.3 * like - gan, "discriminator": gan}[group]

    torch.manual_seed(3)
    (updates,) = list(objective.updates(given))
    for update in updates:
        params = moved[update.name]
        gradient = torch.autograd.grad(update.loss, params, retain_graph=True)
        directions = [torch.randn_like(p) for p in params]
        slope = sum(float((g * v).sum()) for g, v in zip(gradient, directions, strict=True))
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                for p, v in zip(params, directions, strict=True):
                    p += step * v
                values.append(float(paper(update.name)))
                for p, v in zip(params, directions, strict=True):
                    p -= step * v
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-4), update.name


def test_three_backward_passes_before_any_step_give_the_decoder_the_discriminators_sign(grey):
    """The pattern of pythae: the decoder gets (1 - s) L of the GAN in place of -s L, and the encoder 2 - s times L_like."""
    _, objective, given = prepared(grey)
    vectors = routes(objective, given), as_by_pythae(objective, given, scale=0.25)
    ours, theirs = map(norms, vectors)
    cosine = torch.nn.functional.cosine_similarity(*(each["model"]["gan"] for each in vectors), dim=0)
    assert cosine < -0.1  # it moves away from what deceives
    assert theirs["guide"]["like"] == pytest.approx(1.75 * ours["guide"]["like"], rel=1e-3)
    assert theirs["guide"]["gan"] == 0 and theirs["model"]["gan"] > 0
    without = norms(as_by_pythae(objective, given, scale=1.0))  # -L + L
    assert without["model"]["gan"] < 1e-6 * theirs["model"]["gan"] + 1e-7
    assert theirs["discriminator"]["like"] == theirs["discriminator"]["prior"] == 0


def test_equal_samples_have_the_loss_of_the_equilibrium(grey):
    _, objective, given = prepared(grey, real_weight=2.0)
    for parameter in objective.networks.head.parameters():
        parameter.data.zero_()
    (updates,) = list(objective.updates(given))
    assert updates[2].loss.item() == pytest.approx(4 * math.log(2), abs=1e-6)  # of two pairs of equal weight
    assert updates[2].figures["accuracy"] == 0.0


# ------------------------------------------------------------------------------------------------ as a VAE
def test_with_pixels_as_features_and_no_gan_it_is_the_vae_of_unit_variance(grey):
    """Values and gradients within 1e-6 of the ELBO's, and parameters after steps of both."""
    found = []
    for objective in (VAEGAN(**AS_VAE), MeanField()):
        pair, batch = tiny(grey), grey.train[torch.arange(40)]
        optimizers = {"guide": {}, "model": {}} if isinstance(objective, VAEGAN) else {}
        torch.manual_seed(5)
        step = step_of(pair, batch, objective, "eager", optimizer="SGD", lr=1e-4)
        assert set(optimizers) <= set(step.optimizers)
        bounds = []
        for seed in range(3):
            torch.manual_seed(seed)
            bounds.append(float(step(batch)))
        found.append((bounds, state(pair)))
    (ours, one), (theirs, other) = found
    assert ours == pytest.approx(theirs, rel=1e-6)
    for name, value in other.items():
        torch.testing.assert_close(one[name], value, atol=1e-6, rtol=1e-6)


# ------------------------------------------------------------------------------------------------ who waits
@pytest.mark.parametrize(
    ("losses", "moves"),
    [
        ((0.6, 0.7, 0.7), (1, 1)),
        ((0.2, 0.7, 0.7), (1, 0)),  # the discriminator can tell: it waits
        ((0.7, 1.2, 0.7), (0, 1)),  # it is deceived: the model waits
        ((0.2, 0.7, 1.2), (1, 1)),  # both would wait
    ],
)
def test_the_stronger_waits(losses, moves):
    found = VAEGAN(margin=0.4).skips(torch.tensor(losses))
    assert tuple(float(flag) for flag in found) == moves
    assert VAEGAN().skips(torch.tensor(losses)) == (None, None)


@pytest.mark.parametrize("backend", ["eager", "graph"])
def test_who_waits_stays_bitwise(grey, backend):
    """An equilibrium out of reach from below: one loss is always under it, so that the discriminator waits."""
    pair, batch = tiny(grey), grey.train[torch.arange(40)]
    objective = pv.objectives.get({**pair.objective, "equilibrium": 50.0, "margin": 1.0})
    torch.manual_seed(5)
    step = step_of(pair, batch, objective, backend)
    before = {name: value.clone() for name, value in objective.networks.state_dict().items()}
    others = {name: value.clone() for name, value in state(pair).items()}
    step(batch)
    assert all(torch.equal(value, before[name]) for name, value in objective.networks.state_dict().items())
    assert all(not torch.equal(value, others[name]) for name, value in state(pair).items())
    assert all(not value.any() for kept in step.optimizers["discriminator"].state.values() for value in kept.values())


# ------------------------------------------------------------------------------------------------ ways of running
def test_a_resumed_run_is_bitwise_the_same(grey, tmp_path):
    whole = fits.quiet(one := tiny(grey, margin=0.4), grey, epochs=2, batch_size=400)
    fits.quiet(tiny(grey, margin=0.4), grey, epochs=1, batch_size=400, out=tmp_path / "run")
    resumed = pv.resume(tmp_path / "run", epochs=2, progress=False)
    assert all(torch.equal(value, state(resumed.pair)[name]) for name, value in state(one).items())
    assert [row["discriminator"] for row in resumed.records] == [row["discriminator"] for row in whole.records]
    columns = {"guide", "model", "discriminator", "prior", "like", "accuracy", "logit_data", "code_distance"}
    assert columns <= whole.records[0].keys() and whole.config["bound"] == "none"


# ------------------------------------------------------------------------------------------------ discriminator first
def test_a_discriminator_that_a_gan_has_trained_stands_still_in_the_vae(grey, tmp_path):
    pair = tiny(grey, discriminator="first")
    network = pair.model.discriminator
    assert network is pair.stages[0].model.discriminator
    before = {name: value.clone() for name, value in network.state_dict().items()}
    seen = []

    class Look(pv.train.Callback):
        def on_fit_start(self, run):
            seen.append({name: value.clone() for name, value in network.state_dict().items()})

    options = {"epochs": 1, "batch_size": 400, "progress": False, "tensorboard": False, "compile": False}
    run = pv.fit_stages(pair, grey, out=tmp_path / "run", callbacks=[Look()], **options)
    (trained,) = seen
    assert all(not torch.equal(value, before[name]) for name, value in trained.items())  # by the stage
    assert all(torch.equal(value, trained[name]) for name, value in network.state_dict().items())
    again = pv.load(tmp_path / "run").pair.model.discriminator
    assert all(torch.equal(value, trained[name]) for name, value in again.state_dict().items())
    assert run.config["bound"] == "none" and run.config["fit"]["objective"]["name"] == "feature-elbo"


def test_features_that_are_pixels_make_the_elbo(grey):
    pair, batch = tiny(grey, discriminator="first"), grey.train[torch.arange(10)]
    pair.model.discriminator.layer = 0
    given, found = Given(pair.model, pair.guide, [batch]), []
    for objective in (FeatureELBO(), MeanField()):
        torch.manual_seed(1)
        found.append(objective.value(given).detach())
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-5)


# ------------------------------------------------------------------------------------------------ the network, refusals
def test_features_are_the_output_of_their_layer(grey):
    torch.manual_seed(0)
    x = torch.randn(3, 2, 8, 8)
    for layer, shape in enumerate([(64,), (64,), (10,)]):
        network = Discriminator((8, 8), [4], [10], layer)
        features, logit = network.both(x)
        assert features.shape == (3, 2, *shape) and logit.shape == (3, 2)
        torch.testing.assert_close(network(x[1]), logit[1])
    assert torch.equal(Discriminator((8, 8), [4], [10], 0).features(x), x.flatten(2))
    torch.testing.assert_close(
        network.features(x), network.layers[1](network.layers[0](x.reshape(6, 1, 8, 8))).unflatten(0, (3, 2))
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": "minimax"}, "generator is 'minimax'; expected 'non-saturating' or 'saturating'"),
        ({"layer": 3}, "layer is 3; the discriminator has 1 hidden layers"),
        ({"hidden": 8}, "hidden is 8; expected the sizes of layers"),
        ({"hidden": [0]}, "hidden is 0; expected a whole number of at least 1"),
        ({"equilibrium": 0.5}, "equilibrium goes with margin"),
        ({"margin": -1.0}, "margin is -1.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        VAEGAN(**options)


def test_pairs_that_it_does_not_serve_are_refused(grey, digits):
    with pytest.raises(OptionError, match="scale is 'shared'; expected a number, since no term of VAE/GAN trains it"):
        tiny(grey, scale="shared")
    with pytest.raises(OptionError, match="gamma of pair vae-gan goes with discriminator='joint'"):
        tiny(grey, discriminator="first", gamma=0.5)
    with pytest.raises(ContractError, match="needs a model with a discriminator"):
        fits.quiet(fits.small(digits), digits, "feature-elbo", epochs=1)
    pair = tiny(grey, discriminator="first")
    pair.model.discriminator.requires_grad_(True)
    with pytest.raises(ContractError, match="train it in a stage before"):
        FeatureELBO().value(Given(pair.model, pair.guide, [grey.train[torch.arange(5)]]))
    missing = pv.data.load("digits", transforms=["missing:rate=0.3"])
    with pytest.raises(ContractError, match="site 'x' is masked, and .* compares whole data"):
        fits.quiet(tiny(missing), missing, epochs=1)
    labelled = exact.labelled_mixture()
    with pytest.raises(ContractError, match="compares one site|is summed out"):
        VAEGAN().trace(Given(labelled.model, labelled.guide, [labelled.batch]))
