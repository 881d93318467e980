"""The ways to write a program: modules, PyroModules, functions, methods; each pair keeps its parameters to itself."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pyro.infer
import pytest
import torch
from pyro.nn import PyroModule, PyroParam
from torch import nn

import pyrovae as pv
from pyrovae.core.parameters import parameters
from pyrovae.errors import ContractError

X = torch.randn(120, 2) @ torch.randn(2, 5) + 0.1 * torch.randn(120, 5)


class Methods(nn.Module):
    """Model and guide as two methods of one object, in the style of Pyro's tutorial."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(5, 4), nn.Linear(2, 5)

    def model(self, x):
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(self.decoder(z), 1.0).to_event(1), obs=x)

    def guide(self, x):
        pyro.module("encoder", self.encoder)
        loc, log_scale = self.encoder(x).chunk(2, -1)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


class Model(PyroModule):
    def __init__(self, name="", net="net"):
        super().__init__(name)
        setattr(self, net, PyroModule[nn.Linear](2, 5))
        self.net_name = net
        self.scale = PyroParam(torch.tensor(1.0), constraint=dist.constraints.positive)

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(getattr(self, self.net_name)(z), self.scale).to_event(1), obs=x)


class Guide(PyroModule):
    def __init__(self, name=""):
        super().__init__(name)
        self.net = PyroModule[nn.Linear](5, 4)

    def forward(self, x):
        loc, log_scale = self.net(x).chunk(2, -1)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


def methods():
    both = Methods()
    return both.model, both.guide


@pytest.mark.parametrize(
    "make",
    [methods, lambda: (Model(net="decoder"), Guide()), lambda: (Model("model"), Guide("guide"))],
    ids=["methods", "PyroModules", "named PyroModules"],
)
def test_each_way_trains_saves_and_keeps_its_parameters(make, tmp_path):
    pair, other = make(), make()
    before = {name: p.detach().clone() for name, p in parameters(*other).items()}
    pv.check(other, {"x": X})
    run = pv.fit(pair, (X, X), epochs=20, lr=0.02, progress=False, out=tmp_path / "run")
    assert run.history["valid"].iloc[-1] > run.history["valid"].iloc[0] + 1
    assert all(torch.equal(before[name], p) for name, p in parameters(*other).items() if name in before)
    assert not pyro.get_param_store().get_state()["params"]
    pv.load(tmp_path / "run", pair=other, data=X)
    evidence = [pv.log_evidence(p, X, num_samples=5).value for p in (pair, other)]
    assert torch.equal(*evidence)
    assert pv.sample(pair, 3)["x"].shape == (3, 5)


class Square(PyroModule):
    """Model or guide with a network of one name and shape."""

    def __init__(self, is_model, name=""):
        super().__init__(name)
        self.net, self.is_model = PyroModule[nn.Linear](5, 5), is_model

    def forward(self, x):
        with pyro.plate("data", len(x)):
            if self.is_model:
                z = pyro.sample("z", dist.Normal(x.new_zeros(5), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(self.net(z), 1.0).to_event(1), obs=x)
            else:
                pyro.sample("z", dist.Normal(self.net(x), 1.0).to_event(1))


def test_pyro_modules_that_would_share_a_parameter_are_refused():
    with pytest.raises(ContractError, match="both call a parameter 'net.weight'.*give one of them a name"):
        pv.check((Square(True), Square(False)), {"x": X})
    pv.check((Square(True), Square(False, "guide")), {"x": X})


def test_functions_trained_by_stock_svi_are_evaluated_with_pyros_own_store():
    def model(x):
        loc = pyro.param("loc", torch.zeros(5))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(loc + z, 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x.mean(-1, keepdim=True), 0.5).to_event(1))

    data = X + torch.tensor([3.0, -3.0, 3.0, -3.0, 3.0])
    untrained = pv.log_evidence((model, guide), data, num_samples=50).mean
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), pyro.infer.Trace_ELBO())
    for _ in range(100):
        svi.step(data)
    assert pv.log_evidence((model, guide), data, num_samples=50).mean > untrained + 1
