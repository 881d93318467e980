"""Draws given some sites, codes and decoded data against closed forms."""

import pyro
import pyro.distributions as dist
import pytest
import torch

import pyrovae as pv
from pyrovae.core.program import remember
from pyrovae.data import DataSpec
from pyrovae.errors import ContractError, OptionError
from pyrovae.generate import chunks
from pyrovae.pairs import linear_gaussian, m2, vae

LIKE = {"x": torch.zeros(1, 2)}


def chain_model(x):  # z2 -> z1 -> x -> a
    with pyro.plate("data", len(x), dim=-1):
        z2 = pyro.sample("z2", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        z1 = pyro.sample("z1", dist.Normal(0.5 * z2, 2.0).to_event(1))
        x = pyro.sample("x", dist.Normal(3 * z1, 0.1).to_event(1), obs=x)
        pyro.sample("a", dist.Normal(x.sum(-1), 1.0))


def chain_guide(x):
    with pyro.plate("data", len(x), dim=-1):
        z1 = pyro.sample("z1", dist.Normal(x / 3, 0.1).to_event(1))
        pyro.sample("z2", dist.Normal(0.1 * z1, 1.0).to_event(1))
        pyro.sample("a", dist.Normal(x.sum(-1), 1.0))


def label_model(x, y):
    with pyro.plate("data", x.shape[0], dim=-1):
        z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        y = pyro.sample("y", dist.Categorical(torch.tensor([0.2, 0.3, 0.5])), obs=y)
        pyro.sample("x", dist.Normal(z + 100 * y.unsqueeze(-1), 0.1).to_event(1), obs=x)


def offset_model(x, offset):
    with pyro.plate("data", x.shape[0], dim=-1):
        z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z + offset, 0.1).to_event(1), obs=x)


CHAIN, LABEL, OFFSET = (chain_model, chain_guide), (label_model, chain_guide), (offset_model, chain_guide)


@pytest.fixture
def linear():
    torch.manual_seed(1)
    pair = linear_gaussian(DataSpec("toy", (4,), "real"), latent_dim=2)
    with torch.no_grad():
        pair.model.factor_analysis.loc.copy_(torch.tensor([1.0, -1.0, 0.0, 2.0]))
        pair.model.factor_analysis.log_scale.fill_(-0.7)
    return pair


# ------------------------------------------------------------------------------------------------ sample(given=)
@pytest.mark.parametrize("rows", [chunks.ROWS_PER_PASS, 1500])
def test_x_given_z_has_the_moments_of_the_likelihood(linear, rows, monkeypatch):
    monkeypatch.setattr(chunks, "ROWS_PER_PASS", rows)
    n, factors, z = 20_000, linear.model.factor_analysis, torch.tensor([1.5, -0.5])
    drawn = pv.sample(linear, n, given={"z": z})
    scale = factors.scale.detach()
    exact = (factors.weight @ z + factors.loc).detach()
    assert torch.equal(drawn["z"], z.expand(n, 2))
    assert ((drawn["x"].mean(0) - exact) / (scale / n**0.5)).abs().max() < 4
    variance = scale.square().diag()
    spread = (scale.square().outer(scale.square()) + variance.square()) / n
    assert ((drawn["x"].T.cov() - variance) / spread.sqrt()).abs().max() < 4.5
    torch.testing.assert_close(pv.sample(linear, 2, given={"z": z}, mean=True)["x"], exact.expand(2, 4))


def test_one_value_for_each_draw(linear):
    z = torch.randn(7, 2)
    assert torch.equal(pv.sample(linear, 7, given={"z": z.numpy()})["z"], z)


def test_children_of_what_is_given_are_drawn_given_it():
    n, z2 = 20_000, torch.tensor([4.0, -2.0])
    drawn = pv.sample(CHAIN, n, given={"z2": z2}, like=LIKE)
    assert ((drawn["z1"].mean(0) - 0.5 * z2) / (2.0 / n**0.5)).abs().max() < 4
    assert abs(float(drawn["z1"].var(0).mean()) - 4.0) < 0.15
    both = pv.sample(CHAIN, 5, given={"z1": [1.0, 2.0], "z2": [0.0, 0.0], "x": [7.0, 8.0]}, like=LIKE)
    assert both["x"].tolist() == [[7.0, 8.0]] * 5 and both["a"].mean() > 10  # a is drawn given x


@pytest.mark.parametrize("given", [{"x": [0.0, 0.0]}, {"z1": [0.0, 0.0]}, {"a": 1.0}, {"x": [0.0, 0.0], "z2": [0.0, 0.0]}])
def test_what_depends_on_what_is_drawn_is_a_posterior_and_refused(given):
    with pytest.raises(ContractError, match=r"asks for .*z.* whose distribution in chain_model depends.*posterior\(pair"):
        pv.sample(CHAIN, 3, given=given, like=LIKE)


def test_a_rare_dependence_is_seen():
    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            rare = pyro.sample("rare", dist.Bernoulli(x.new_full((len(x),), 0.03)))
            pyro.sample("x", dist.Normal(10 * rare.unsqueeze(-1), 1.0).to_event(1), obs=x)

    with pytest.raises(ContractError, match="asks for rare given 'x'"):
        pv.sample((model, chain_guide), 1, given={"x": [0.0]}, like={"x": torch.zeros(1, 1)})


def test_classes_are_whole_numbers():
    torch.manual_seed(0)
    pair = m2(DataSpec("toy", (6,), "binary", classes=4), latent_dim=2, hidden=[5])
    by_class = pv.sample(pair, 3, given={"y": 3, "z": [1.0, 0.0]}, mean=True)
    assert by_class["y"].tolist() == [[0.0, 0.0, 0.0, 1.0]] * 3
    one_hot = torch.tensor([0.0, 0.0, 0.0, 1.0])
    assert torch.equal(pv.sample(pair, 3, given={"y": one_hot, "z": [1.0, 0.0]}, mean=True)["x"], by_class["x"])
    assert pv.sample(pair, 2, given={"y": torch.tensor([2, 0])})["y"].argmax(-1).tolist() == [2, 0]
    other = pv.sample(pair, 3, given={"y": 0, "z": [1.0, 0.0]}, mean=True)["x"]
    assert not torch.allclose(other, by_class["x"])
    with pytest.raises(OptionError, match=r"given\['y'\] is 4; expected classes from 0 to 3"):
        pv.sample(pair, 1, given={"y": 4})


def test_observed_sites_and_covariates_can_be_given():
    like = {"x": torch.zeros(1, 2), "y": torch.zeros(1, dtype=torch.long)}
    drawn = pv.sample(LABEL, 50, given={"y": 2}, like=like)
    assert (drawn["y"] == 2).all() and (drawn["x"] - 200).abs().max() < 10
    assert (pv.sample(LABEL, 3, given={"y": torch.tensor([0, 1, 2])}, like=like)["x"] / 100).round()[:, 0].tolist() == [
        0,
        1,
        2,
    ]
    drawn = pv.sample(OFFSET, 4, given={"offset": torch.full((1, 2), 500.0)}, like=LIKE)
    assert (drawn["x"] - 500).abs().max() < 10


def test_values_that_do_not_fit_are_refused(linear):
    for given, message in [
        ({"w": 1.0}, "no site is called 'w'.*z"),
        ({"z": [1.0, 2.0, 3.0]}, r"given\['z'\] has shape \(3,\); expected \(\*rows, \*\(2,\)\)"),
        ({"z": torch.zeros(3, 2)}, r"given\['z'\] has shape \(3, 2\); expected \(2,\) for one value, or \(5, 2\)"),
        ({"z": [float("nan"), 0.0]}, r"given\['z'\] leaves the support"),
    ]:
        with pytest.raises(OptionError, match=message):
            pv.sample(linear, 5, given=given)
    with pytest.raises(OptionError, match=r"given\['y'\] leaves the support"):
        pv.sample(LABEL, 1, given={"y": 1.5}, like={**LIKE, "y": torch.tensor([0])})
    with pytest.raises(OptionError, match="num is 0"):
        pv.sample(linear, 0)


# ------------------------------------------------------------------------------------------------ decode and encode
def test_decode_is_the_mean_of_the_likelihood(linear):
    factors, z = linear.model.factor_analysis, torch.randn(3, 5, 2)
    wanted = (z @ factors.weight.T + factors.loc).detach()
    torch.testing.assert_close(pv.decode(linear, z), wanted)
    torch.testing.assert_close(pv.decode(linear, {"z": z[0, 0].tolist()}), wanted[0, 0])
    torch.testing.assert_close(pv.decode(linear, z, "scale"), factors.scale.detach().expand(3, 5, 4))


def test_decode_gives_named_parameters():
    pair = vae(DataSpec("toy", (4, 4), "binary"), latent_dim=2)
    z = torch.randn(7, 2)
    logits = pv.decode(pair, z, parameter="logits")
    assert logits.shape == (7, 4, 4)
    torch.testing.assert_close(logits.sigmoid(), pv.decode(pair, z))
    with pytest.raises(OptionError, match=r"no parameter of Bernoulli is called 'logit'; did you mean 'logits'"):
        pv.decode(pair, z, parameter="logit")
    with pytest.raises(OptionError, match=r"z\['z'\] has shape \(7, 3\)"):
        pv.decode(pair, torch.randn(7, 3))


def test_decode_needs_what_x_depends_on_and_no_more():
    torch.testing.assert_close(pv.decode(CHAIN, {"z1": torch.ones(2, 2)}, like=LIKE), torch.full((2, 2), 3.0))
    with pytest.raises(ContractError, match="x depends on z1 too"):
        pv.decode(CHAIN, {"z2": torch.ones(2, 2)}, like=LIKE)
    with pytest.raises(OptionError, match="latent sites z2, z1, a; give a dict"):
        pv.decode(CHAIN, torch.ones(2, 2), like=LIKE)
    like = {**LIKE, "y": torch.tensor([0])}
    with pytest.raises(ContractError, match="x depends on y too"):
        pv.decode(LABEL, {"z": torch.zeros(2)}, like=like)
    assert pv.decode(LABEL, {"z": torch.zeros(3, 2), "y": 2}, like=like).tolist() == [[200.0, 200.0]] * 3
    remember(offset_model, {"x": torch.zeros(3, 2), "offset": torch.zeros(3, 2)})
    with pytest.raises(ContractError, match="reads 'offset'"):
        pv.decode(OFFSET, {"z": torch.zeros(2)})


def test_encode_is_the_posterior_mean(linear):
    x = torch.randn(9, 4)
    loc, _ = linear.model.factor_analysis.posterior(x)
    torch.testing.assert_close(pv.encode(linear, x)["z"], loc.detach())
    found = pv.encode(CHAIN, torch.tensor([[3.0, 6.0]]))
    assert found["z1"].tolist() == [[1.0, 2.0]] and found["a"].tolist() == [9.0]
    torch.testing.assert_close(found["z2"], torch.tensor([[0.1, 0.2]]))


def test_decode_of_encode_is_the_reconstruction_of_a_point():
    pair = pv.pairs.ae(DataSpec("toy", (4,), "unit"), latent_dim=2)
    x = torch.rand(5, 4)
    z = pv.encode(pair, x)
    torch.testing.assert_close(pv.decode(pair, z), pv.reconstruct(pair, x))
    torch.testing.assert_close(pv.sample(pair, 5, given=z, mean=True)["x"], pv.reconstruct(pair, x))
    with pytest.raises(ContractError, match="no prior of its latent site"):
        pv.sample(pair, 5)
