"""Site names with slashes, markup and line breaks are safe in pictures, pages and exports."""

from __future__ import annotations

import arviz
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.runs.arviz import write_netcdf


class Model(nn.Module):
    def __init__(self, names):
        super().__init__()
        self.names, self.decoder = names, nn.Linear(2, 4)

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = sum(pyro.sample(name, dist.Normal(x.new_zeros(2), 1.0).to_event(1)) for name in self.names)
            pyro.sample("x", dist.Normal(self.decoder(z), 1.0).to_event(1), obs=x)


class Guide(nn.Module):
    def __init__(self, names):
        super().__init__()
        self.names, self.encoder = names, nn.Linear(4, 2)

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            for name in self.names:
                pyro.sample(name, dist.Normal(self.encoder(x), 0.7).to_event(1))


def trained(names, folder):
    torch.manual_seed(0)
    x = torch.randn(40, 4)
    return x, pv.fit((Model(names), Guide(names)), x, steps=2, out=folder, progress=False, tensorboard=False)


@pytest.mark.parametrize("names", [("../../z/1", "<b>"), ("z", "z_dim"), (".", "/"), ("chain", "a\nb")])
def test_exports_and_runs_take_names_of_any_kind(names, tmp_path):
    x, run = trained(names, tmp_path / "run")
    export = write_netcdf(pv.to_arviz(run, x, num_samples=3, num_chains=2, num_data=5), tmp_path / "run" / "a.nc")
    read = arviz.from_netcdf(export)
    assert len(read.posterior.data_vars) == len(read.prior.data_vars) == 2 and {*read.posterior_predictive.data_vars} == {"x"}
    assert pv.load(tmp_path / "run", pair=(Model(names), Guide(names)), data=x).step == 2


def test_pages_and_pictures_take_names_of_any_kind(tmp_path, monkeypatch):
    """One picture of each site; where it lies, and how the page shows its name."""
    from pyrovae.plots import figures
    from pyrovae.report import page

    names = ("../../z/1", "<script>alert(1)</script>")
    _, run = trained(names, tmp_path / "run")
    monkeypatch.setattr(page, "figures_of", lambda run: [(f"traversals_{name}", figures.empty_figure()) for name in names])
    assert "<script>" not in page.write_report(run).read_text()
    assert {each.relative_to(tmp_path).parts[0] for each in tmp_path.rglob("*")} == {"run"}
    assert len([*(tmp_path / "run" / "pictures").iterdir()]) == 2
