"""Samples, reconstructions and walks against closed forms of linear-Gaussian pairs."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyrovae import generate
from pyrovae.core.program import remember
from pyrovae.data import DataSpec
from pyrovae.errors import ContractError, OptionError
from pyrovae.generate import chunks, reconstruction
from pyrovae.generate.expectation import expectation
from pyrovae.pairs import conv_vae, linear_gaussian, two_layer_vae, vae

SCALE = 0.5
SHRINK = 1 / (1 + SCALE**2)  # E[z | x] = SHRINK x for x = z + SCALE noise


def two_model(x):
    with pyro.plate("data", x.shape[0], dim=-1):
        a = pyro.sample("a", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        b = pyro.sample("b", dist.Normal(x.new_zeros(3), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(torch.cat([a, b], -1), SCALE).to_event(1), obs=x)


def two_guide(x):
    scale = torch.tensor(SCALE**2 * SHRINK).sqrt()
    with pyro.plate("data", x.shape[0], dim=-1):
        pyro.sample("a", dist.Normal(SHRINK * x[:, :2], scale).to_event(1))
        pyro.sample("b", dist.Normal(SHRINK * x[:, 2:], scale).to_event(1))


def covariate_model(x, offset):
    with pyro.plate("data", x.shape[0], dim=-1):
        z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z + offset, 0.1).to_event(1), obs=x)


def label_model(x, y):
    with pyro.plate("data", x.shape[0], dim=-1):
        z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        y = pyro.sample("y", dist.Categorical(torch.tensor([0.2, 0.3, 0.5])), obs=y)
        pyro.sample("x", dist.Normal(z + y.unsqueeze(-1), 0.1).to_event(1), obs=x)


def label_guide(x, y):
    with pyro.plate("data", x.shape[0], dim=-1):
        pyro.sample("z", dist.Normal(x - y.unsqueeze(-1), 0.1).to_event(1))


@pytest.fixture
def linear():
    torch.manual_seed(1)
    pair = linear_gaussian(DataSpec("toy", (4,), "real"), latent_dim=2)
    with torch.no_grad():
        pair.model.factor_analysis.loc.copy_(torch.tensor([1.0, -1.0, 0.0, 2.0]))
        pair.model.factor_analysis.log_scale.fill_(-0.7)
    return pair


# ------------------------------------------------------------------------------------------------ sample
def test_sample_has_the_moments_of_p_x(linear):
    torch.manual_seed(0)
    n, factors = 20_000, linear.model.factor_analysis
    x = generate.sample(linear, n)["x"]
    covariance = (factors.weight @ factors.weight.T + factors.scale.square().diag()).detach()
    z_mean = (x.mean(0) - factors.loc.detach()) / (covariance.diagonal() / n).sqrt()
    variance = covariance.square() + covariance.diagonal().outer(covariance.diagonal())
    z_covariance = (x.T.cov() - covariance) / (variance / n).sqrt()
    assert z_mean.abs().max() < 4
    assert z_covariance.abs().max() < 4.5


def test_sample_mean_is_the_mean_given_the_latents(linear):
    drawn = generate.sample(linear, 50, mean=True)
    factors = linear.model.factor_analysis
    assert torch.allclose(drawn["x"], (drawn["z"] @ factors.weight.T + factors.loc).detach())


@pytest.mark.parametrize("make", [vae, conv_vae])
@pytest.mark.parametrize("shape, kind", [((6, 5), "binary"), ((3, 8, 8), "unit")])
def test_images(make, shape, kind):
    pair = make(DataSpec("toy", shape, kind), latent_dim=3)
    x = generate.sample(pair, 4)["x"]
    assert x.shape == (4, *shape)
    assert generate.reconstruct(pair, x, num_samples=2).shape == x.shape
    assert generate.traverse(pair, x[0], values=[0.0, 1.0]).shape == (3, 2, *shape)
    assert generate.interpolate(pair, x[:1], x[1:2], num=5).shape == (5, *shape)


def test_sample_asks_for_covariates():
    remember(covariate_model, {"x": torch.zeros(1, 2), "offset": torch.zeros(1, 2)})
    with pytest.raises(ContractError, match="reads 'offset'"):
        generate.sample((covariate_model, two_guide), 3)
    offset = 100 * torch.arange(3.0).unsqueeze(-1).expand(3, 2)
    x = generate.sample((covariate_model, two_guide), 3, like={"x": torch.zeros(1, 2), "offset": offset})["x"]
    assert (x - offset).abs().max() < 10


def test_sample_draws_observed_labels_and_their_mode():
    like = {"x": torch.zeros(1, 2), "y": torch.zeros(1, dtype=torch.long)}
    torch.manual_seed(0)
    y = generate.sample((label_model, label_guide), 3000, like=like)["y"]
    frequencies = torch.bincount(y, minlength=3) / 3000
    assert (frequencies - torch.tensor([0.2, 0.3, 0.5])).abs().max() < 0.04
    assert (generate.sample((label_model, label_guide), 5, like=like, mean=True)["y"] == 2).all()


# ------------------------------------------------------------------------------------------------ posterior
def test_posterior_of_plain_functions_with_two_sites():
    torch.manual_seed(0)
    x = torch.randn(3, 5)
    draws = generate.posterior((two_model, two_guide), {"x": x}, num_samples=4000)
    assert {name: tuple(z.shape) for name, z in draws.items()} == {"a": (4000, 3, 2), "b": (4000, 3, 3)}
    error = (SCALE**2 * SHRINK / 4000) ** 0.5
    assert ((draws["b"].mean(0) - SHRINK * x[:, 2:]) / error).abs().max() < 4.5


@pytest.mark.parametrize("rows", [chunks.ROWS_PER_PASS, 70])
def test_reconstruct_is_the_posterior_predictive_mean(linear, rows, monkeypatch):
    monkeypatch.setattr(chunks, "ROWS_PER_PASS", rows)
    torch.manual_seed(0)
    factors, num = linear.model.factor_analysis, 1000
    x = torch.randn(6, 4)
    with torch.no_grad():
        loc, tril = factors.posterior(x)
        exact = loc @ factors.weight.T + factors.loc
        error = ((factors.weight @ tril).square().sum(-1) / num).sqrt()
    z_score = (generate.reconstruct(linear, x, num_samples=num) - exact) / error
    assert z_score.abs().max() < 4


def test_reconstruct_draws_exactly_num_samples(linear, monkeypatch):
    asked = []
    original = reconstruction.trace_pair

    def counting(model, guide, batch, num_particles, **options):
        asked.append((num_particles, len(batch["x"])))
        return original(model, guide, batch, num_particles, **options)

    monkeypatch.setattr(reconstruction, "trace_pair", counting)
    monkeypatch.setattr(chunks, "ROWS_PER_PASS", 10)
    generate.reconstruct(linear, torch.zeros(3, 4), num_samples=23)
    assert sum(k * b for k, b in asked) == 69
    assert max(k * b for k, b in asked) <= 10


def test_reconstruct_with_labels_in_the_batch():
    batch = {"x": torch.tensor([[5.0, 6.0], [1.0, 2.0]]), "y": torch.tensor([2, 0])}
    x_hat = generate.reconstruct((label_model, label_guide), batch, num_samples=200)
    assert (x_hat - batch["x"]).abs().max() < 0.05


# ------------------------------------------------------------------------------------------------ walks
def test_traverse_changes_only_what_the_dimension_changes():
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    values = torch.tensor([-1.0, 0.0, 7.0])
    pictures = generate.traverse((two_model, two_guide), x, site="b", dims=[2, 0], values=values)
    expected = (SHRINK * x).expand(2, 3, 5).clone()
    expected[0, :, 4] = values
    expected[1, :, 2] = values
    assert torch.allclose(pictures, expected)


def test_traverse_refuses_what_is_unclear():
    x = torch.zeros(1, 5)
    with pytest.raises(OptionError, match=r"which latent site.*a, b"):
        generate.traverse((two_model, two_guide), x)
    with pytest.raises(OptionError, match="'c'"):
        generate.traverse((two_model, two_guide), x, site="c")
    with pytest.raises(OptionError, match="dimensions 0 to 1"):
        generate.traverse((two_model, two_guide), x, site="a", dims=[2])
    with pytest.raises(ContractError, match="expected one datum"):
        generate.traverse((two_model, two_guide), torch.zeros(3, 5), site="a")


def test_interpolate_is_linear_between_posterior_means():
    start, end = torch.zeros(1, 5), torch.ones(1, 5)
    pictures = generate.interpolate((two_model, two_guide), start, end, num=3)
    assert torch.allclose(pictures, SHRINK * torch.tensor([[0.0], [0.5], [1.0]]).expand(3, 5))
    moved = generate.interpolate((two_model, two_guide), start, end, num=3, site="a")
    assert torch.allclose(moved[:, 2:], torch.zeros(3, 3))
    assert torch.allclose(moved[:, :2], pictures[:, :2])


def test_manifold_is_the_prior_quantiles():
    pair = linear_gaussian(DataSpec("toy", (2,), "real"), latent_dim=2)
    with torch.no_grad():
        pair.model.factor_analysis.weight.copy_(torch.eye(2))
    pictures = generate.manifold(pair, num=5)
    quantiles = dist.Normal(0.0, 1.0).icdf(torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]))
    assert torch.allclose(pictures[..., 0], quantiles[:, None].expand(5, 5), atol=1e-6)
    assert torch.allclose(pictures[..., 1], quantiles[None].expand(5, 5), atol=1e-6)


def test_manifold_refuses_other_dimensions_and_missing_labels():
    with pytest.raises(ContractError, match="2 independent dimensions"):
        generate.manifold(linear_gaussian(DataSpec("toy", (4,), "real"), latent_dim=3))
    like = {"x": torch.zeros(1, 2), "y": torch.tensor([1])}
    assert generate.manifold((label_model, label_guide), num=3, like=like)[1, 1].tolist() == [1.0, 1.0]
    remember(label_model, like)
    with pytest.raises(ContractError, match="reads 'y'"):
        generate.manifold((label_model, label_guide))


# ------------------------------------------------------------------------------------------------ modes
def test_modules_are_in_evaluation_mode_and_go_back():
    pair = vae(DataSpec("toy", (4,), "real"), latent_dim=2)
    pair.model.decoder.mlp.append(nn.Dropout(0.9))
    pair.model.decoder.mlp[0].eval()
    x = torch.ones(1, 4)
    first, second = (generate.traverse(pair, x) for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert pair.model.training and pair.model.decoder.mlp[-1].training and not pair.model.decoder.mlp[0].training


def test_expectation_falls_back_on_draws():
    torch.manual_seed(0)
    base = dist.Normal(torch.zeros(2000), 1.0)
    shifted = dist.TransformedDistribution(base, dist.transforms.AffineTransform(3.0, 2.0))
    assert abs(float(expectation(shifted).mean()) - 3) < 0.05


# ------------------------------------------------------------------------------------------------ passes
def test_many_draws_come_in_passes_and_compiled_ones_are_the_same(linear, monkeypatch, interpreted):
    monkeypatch.setattr(chunks, "ROWS_PER_PASS", 400)
    sizes = []
    handle = linear.model.register_forward_hook(
        lambda module, args, kwargs, out: sizes.append(len(kwargs["x"])), with_kwargs=True
    )
    found = []
    for compile in (False, True):
        torch.manual_seed(0)
        found.append(generate.sample(linear, 1000, compile=compile))
    handle.remove()
    assert max(sizes) == 400 and found[0]["x"].shape == (1000, 4)
    torch.testing.assert_close(found[1], found[0])
    x = found[0]["x"][:900]
    means = []
    for compile in (False, True):
        torch.manual_seed(0)
        means.append(generate.reconstruct(linear, x, num_samples=2, compile=compile))
    torch.testing.assert_close(means[1], means[0])


def test_what_all_draws_share_is_drawn_once(monkeypatch):
    def model(x):
        scale = pyro.sample("scale", dist.Gamma(2.0, 1.0))
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("x", dist.Normal(0.0, scale), obs=x)

    monkeypatch.setattr(chunks, "ROWS_PER_PASS", 4)
    drawn = generate.sample((model, model), 10, like={"x": torch.zeros(1)})
    assert drawn["scale"].shape == () and drawn["x"].shape == (10,)


def test_what_lies_below_a_site_is_held_follows_or_is_drawn():
    torch.manual_seed(0)
    spec = DataSpec("toy", (5,), "binary")
    pair = two_layer_vae(spec, latent_dim=2, lower_dim=3, hidden=[6], upper_hidden=[4])
    x, values = torch.ones(1, 5), [-2.0, 2.0]

    def walk(below):
        return generate.traverse(pair, x, site="z2", values=values, below=below)

    held = walk("hold")
    torch.testing.assert_close(held[:, 0], held[:, 1])  # x depends on z1 alone
    z2 = generate.encode(pair, x)["z2"].repeat(2, 1)
    z2[:, 1] = torch.tensor(values)
    with torch.no_grad():
        loc = pair.model.features(z2).chunk(2, -1)[0]
        expected = pair.model.likelihood(pair.model.decoder(loc)).mean
    torch.testing.assert_close(walk("mean")[1], expected)
    assert not torch.equal(walk("draw"), walk("draw"))
    with pytest.raises(OptionError, match="below is 'drop'; expected one of hold, mean, draw"):
        walk("drop")
