"""Models that read their argument x where they should read what they draw: draws of the joint, or a sentence."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.core.contract import check_batch
from pyrovae.core.pair import as_pair
from pyrovae.errors import ContractError


def auxiliary(x):
    """z ~ N(0, 1), x | z ~ N(1.2 z, 0.7), a | x, z ~ N(2 x - 0.4 z, 0.1): E[a x] = 2 (1.44 + 0.49) - 0.48 = 3.38."""
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
        pyro.sample("x", dist.Normal(1.2 * z.unsqueeze(-1), 0.7).to_event(1), obs=x)
        pyro.sample("a", dist.Normal(2.0 * x[..., 0] - 0.4 * z, 0.1))


def guide_of_both(x):
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(0.6 * x[:, 0], 0.55))
        pyro.sample("a", dist.Normal(2.0 * x[:, 0], 0.3))


def guide_of_z(x):
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(0.3 * x.flatten(1).sum(-1), 0.6))


class Autoregressive(nn.Module):
    """x_i | x_<i, z: Gaussian or binary, by one network of the whole argument x; ``by_steps`` one site for each i."""

    def __init__(self, binary=False, by_steps=False):
        super().__init__()
        self.binary, self.by_steps = binary, by_steps
        self.weight = nn.Parameter(torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.0, 0.0], [-0.6, 1.1, 0.0]]))

    def likelihood(self, mean):
        return dist.Bernoulli(logits=3 * mean) if self.binary else dist.Normal(mean, 0.5)

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            mean = x @ self.weight.T + z.unsqueeze(-1)
            if not self.by_steps:
                pyro.sample("pixels", self.likelihood(mean).to_event(1), obs=x)
            else:
                for i in range(3):
                    pyro.sample(f"pixel_{i}", self.likelihood(mean[..., i]), obs=x[..., i])

    def draws(self, num):
        z, x = torch.randn(num), torch.zeros(num, 3)
        for i in range(3):
            x[:, i] = self.likelihood(x @ self.weight[i] + z).sample()
        return torch.cat([z.unsqueeze(1), x], 1)


def total(x):
    with pyro.plate("documents", len(x)):
        z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
        probs = torch.stack([z.sigmoid(), 1 - z.sigmoid()], -1)
        pyro.sample("x", dist.Multinomial(int(x.sum(-1).max()), probs), obs=x)


def test_an_auxiliary_variable_reads_the_x_that_was_drawn():
    drawn = pv.sample((auxiliary, guide_of_both), 20000, like={"x": torch.ones(1, 1)})
    assert float((drawn["a"] * drawn["x"][:, 0]).mean()) == pytest.approx(3.38, abs=0.15)
    both = pv.bdmc((auxiliary, guide_of_both), 40, like={"x": torch.ones(1, 1)}, num_chains=8, num_distributions=20)
    truth = dist.Normal(0.0, 1.93**0.5).log_prob(both.data["x"][:, 0])
    assert float((both.upper - truth).mean()) > -0.1 and float((both.lower.value - truth).mean()) < 0.1
    assert float(both.gaps.mean()) < 1.5


@pytest.mark.parametrize("by_steps", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_autoregressive_likelihoods_are_drawn_one_value_after_the_other(binary, by_steps):
    model = Autoregressive(binary, by_steps)
    drawn = pv.sample((model, guide_of_z), 20000, like={"x": torch.zeros(1, 3)})
    values = [drawn["z"].unsqueeze(1), *(v.reshape(20000, -1) for name, v in drawn.items() if name != "z")]
    ours, theirs = (torch.cov(values.T) for values in (torch.cat(values, 1), model.draws(20000)))
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)


def test_given_latents_and_given_x_hold():
    model = Autoregressive()
    drawn = pv.sample((model, guide_of_z), 3, given={"z": torch.tensor(2.0)}, like={"x": torch.zeros(1, 3)})
    assert torch.equal(drawn["z"], torch.full((3,), 2.0))
    x = torch.randn(2000, 1)
    drawn = pv.sample((auxiliary, guide_of_both), 2000, given={"x": x, "z": torch.zeros(())})
    torch.testing.assert_close(drawn["a"], 2 * x[:, 0], rtol=0, atol=0.5)


def test_means_that_one_pass_does_not_give_are_refused():
    pair, x = (Autoregressive(), guide_of_z), torch.randn(5, 3)
    for verb in (
        lambda: pv.reconstruct(pair, x),
        lambda: pv.decode(pair, torch.zeros(2), like={"x": x[:1]}),
        lambda: pv.sample(pair, 2, like={"x": x[:1]}, mean=True),
    ):
        with pytest.raises(ContractError, match="site 'pixels' of .* reads 'x', whose values it is to give"):
            verb()
    assert pv.reconstruct((auxiliary, guide_of_both), torch.randn(5, 1)).shape == (5, 1)


def test_a_total_is_read_of_rows_that_are_given_alone():
    x = torch.tensor([[3.0, 4.0], [5.0, 2.0]])
    assert bool((pv.sample((total, guide_of_z), 5, like={"x": x[:1]})["x"].sum(-1) == 7).all())
    with pytest.raises(ContractError, match="give like={'x': rows}, whose values it may read"):
        check_batch(as_pair((total, guide_of_z)), {"x": x})
        pv.sample((total, guide_of_z), 5)


@pytest.mark.parametrize("objective", ["wake-sleep", "rws:num_particles=2,sleep=0.5"])
def test_the_sleep_phase_is_refused_where_one_pass_is_no_draw(objective):
    x = torch.randn(5, 3)
    with pytest.raises(ContractError, match="the sleep phase draws the model in one pass, and site 'pixels' .* reads 'x'"):
        pv.objectives.get(objective).loss(Autoregressive(), guide_of_z, x=x)


def test_the_sleep_phase_dreams_under_keys_of_any_names():
    def named(pixels):
        with pyro.plate("data", len(pixels)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("obs", dist.Normal(z.unsqueeze(-1).expand(-1, 4), 0.5).to_event(1), obs=pixels.reshape(-1, 4))

    seen = []

    def looking(pixels):
        seen.append(pixels)
        guide_of_z(pixels)

    pixels = torch.zeros(6, 2, 2)
    check_batch(as_pair((named, looking)), {"pixels": pixels})
    pv.objectives.get("wake-sleep").loss(named, looking, pixels=pixels)
    assert seen[-1].shape == (6, 2, 2) and not torch.equal(seen[-1], pixels)


def test_check_says_that_draws_take_more_passes():
    assert "site a reads x" in str(check_batch(as_pair((auxiliary, guide_of_both)), {"x": torch.randn(6, 1)}))
