"""check refuses each way to break the contract, in a sentence that names the site."""

from __future__ import annotations

import exact
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyrovae.core.contract import check
from pyrovae.core.parameters import adopt, parameter_scope, parameters
from pyrovae.errors import ContractError, DataError, NonFiniteError

X = torch.randn(12, 4)


def standard_guide(x):
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("z", dist.Normal(x[:, :2], 1.0).to_event(1))


def standard_model(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z.repeat_interleave(2, -1), 1.0).to_event(1), obs=x)


@pytest.mark.parametrize("name", exact.PAIRS)
def test_right_pairs_pass_and_nothing_is_disturbed(name):
    pair = exact.PAIRS[name]()
    state = torch.get_rng_state()
    report = check(pair, pair.batch)
    assert [site.name for site in report.sites if site.kind == "observed"] == ["x"]
    assert torch.equal(state, torch.get_rng_state())
    assert pyro.get_param_store().get_state()["params"] == {}


def test_plain_functions_pass():
    report = check((standard_model, standard_guide), {"x": X})
    assert [(s.name, s.shape, s.reparameterized, s.analytic_kl) for s in report.sites] == [
        ("z", (2,), True, True),
        ("x", (4,), True, False),
    ]


def outside_plate(x):
    z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 1.0).to_event(2))
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("x", dist.Normal(z.repeat_interleave(2, -1), 1.0).to_event(1), obs=x)


def global_latent(x):
    pyro.sample("w", dist.Normal(0.0, 1.0))
    standard_model(x)


def other_name(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("w", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z.repeat_interleave(2, -1), 1.0).to_event(1), obs=x)


def changed_observed(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("pixels", dist.Normal(z.repeat_interleave(2, -1), 1.0).to_event(1), obs=x.exp())


def nothing_observed(x):
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))


def silent_broadcast(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z[..., :1], 1.0).to_event(1), obs=x)


def not_an_event(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z.repeat_interleave(2, -1), 1.0), obs=x)


def other_dim(x):
    with pyro.plate("data", len(x), dim=-2):
        z = pyro.sample("z", dist.Normal(torch.zeros(1, 2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z.repeat_interleave(2, -1), 1.0).to_event(1), obs=x.unsqueeze(1))


def inner_plate(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        with pyro.plate("pixels", 4, dim=-2):
            pyro.sample("x", dist.Normal(z.repeat_interleave(2, -1).T, 1.0), obs=x.T)


def wrong_support(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Bernoulli(logits=z.repeat_interleave(2, -1)).to_event(1), obs=x)


def positive_prior(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Exponential(torch.ones(2)).to_event(1))
        pyro.sample("x", dist.Normal(z.repeat_interleave(2, -1), 1.0).to_event(1), obs=x)


def other_event_shape(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z.repeat_interleave(2, -1), 1.0).to_event(1), obs=x)


def batch_mean(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        loc = z.repeat_interleave(2, -1) - x.mean(0)
        pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)


def counts_rows(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        loc = z.reshape(-1, 2)[: len(x)].repeat_interleave(2, -1) / len(x)
        pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)


def not_finite(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z.repeat_interleave(2, -1) * float("nan"), 1.0).to_event(1), obs=x)


def raises(x):
    raise KeyError("forgot something")


def unknown_input(x, c):
    pass


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (outside_plate, "site 'z' of the model lies outside the data plate"),
        (global_latent, r"site 'w' of the model lies outside the data plate: it scores as \(\), .*all data share"),
        (other_name, "latent site 'w' of other_name has no counterpart in standard_guide, whose latent sites are z"),
        (changed_observed, "observed site 'pixels' bears no key of the batch, which has x, .* sites={'pixels': 'x'}"),
        (nothing_observed, "observes nothing"),
        (silent_broadcast, r"value of shape \(5, 4\) under a distribution of shape \(5, 1\), and would broadcast"),
        (not_an_event, "fails on a batch|declare the dimensions of one datum with .to_event"),
        (other_dim, "lies in plate 'data'; make that repetition an event dimension"),
        (inner_plate, "lies in plate 'pixels'; make that repetition an event dimension"),
        (wrong_support, r"observed 'x' leaves the support .*Bernoulli.*binarization"),
        (positive_prior, "the guide's draw of 'z' leaves the support"),
        (other_event_shape, "event shape|would broadcast"),
        (batch_mean, "site 'x' of the model: datum 0 scores .* must be independent"),
        (counts_rows, "among 3 particles: something mixes or flattens leading axes"),
        (raises, "the model raises fails on a batch of {'x': .*KeyError: 'forgot something'"),
        (unknown_input, "unknown_input takes c, which the batch lacks"),
    ],
)
def test_broken_models_are_named(model, message):
    with pytest.raises(ContractError, match=message):
        check((model, standard_guide), {"x": X})


def test_a_log_density_that_is_not_finite_is_named_with_its_row():
    with pytest.raises(NonFiniteError, match="site 'x' of the model is nan at row 0"):
        check((not_finite, standard_guide), {"x": X})


def test_batch_norm_is_asked_frozen_and_its_buffers_are_left_as_they_were():
    class Guide(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))

        def forward(self, x):
            with pyro.plate("data", len(x), dim=-1):
                pyro.sample("z", dist.Normal(self.net(x), 1.0).to_event(1))

    guide = Guide()
    report = check((standard_model, guide), {"x": X})
    assert guide.training and int(guide.net[1].num_batches_tracked) == 0
    assert not report.rows and "batch norm" in str(report)
    assert "batch norm" not in str(check((standard_model, standard_guide), {"x": X}))


def test_dropout_is_no_dependence_between_data():
    class Guide(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 20), nn.Dropout(0.5), nn.Linear(20, 2))

        def forward(self, x):
            with pyro.plate("data", len(x), dim=-1):
                pyro.sample("z", dist.Normal(self.net(x), 1.0).to_event(1))

    check((standard_model, Guide()), {"x": X})


def test_bad_batches():
    for batch, message in [
        ({}, "expected one at least, usually x"),
        ({"x": torch.zeros(0, 4)}, "is empty"),
        ({"x": X, "y": torch.zeros(3)}, "rows of x but 3 of y"),
        ({"x": [1, 2]}, "is a list"),
    ]:
        with pytest.raises(DataError, match=message):
            check((standard_model, standard_guide), batch)


def test_pairs_of_plain_functions_do_not_share_parameters():
    def make(start):
        def model(x):
            loc = pyro.param("loc", torch.tensor(start))
            with pyro.plate("data", len(x), dim=-1):
                z = pyro.sample("z", dist.Normal(loc.expand(2), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(z.repeat_interleave(2, -1), 1.0).to_event(1), obs=x)

        return model, lambda x: standard_guide(x)

    pairs = [make(1.0), make(2.0)]
    for model, guide in pairs:
        adopt(model, guide)
        check((model, guide), {"x": X})
    values = [parameters(*pair)["param.loc"] for pair in pairs]
    assert [v.item() for v in values] == [1.0, 2.0]
    with parameter_scope(*pairs[0]):
        assert pyro.param("loc").item() == 1.0
    assert "loc" not in pyro.get_param_store()
