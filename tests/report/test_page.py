"""The report: one file, every picture inline, names escaped, the same each time."""

import base64
import io
import re
import types
from pathlib import Path

import pyro
import pyro.distributions as dist
import pytest
import torch
from PIL import Image

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec, as_data
from pyrovae.errors import OptionError, RunError
from pyrovae.pairs import linear_gaussian, vae
from pyrovae.report.page import pictures, write_report

ALWAYS = {
    "learning_curves",
    "samples",
    "reconstructions",
    "traversals",
    "latent_scatter",
    "posterior_histograms",
    "kl_bars",
}
HISTORY = [{"epoch": i, "train": -30.0 + i, "valid": -31.0 + i, "lr": 1e-3} for i in (1, 2, 3)]


def make_run(latent_dim=2, name="toy <b>&", **changes):
    torch.manual_seed(0)
    x = (torch.rand(60, 6, 6) > 0.5).float()
    data = as_data({"x": x, "y": torch.arange(60) % 3})
    pair = vae(data.spec, latent_dim=latent_dim, hidden=(16,))
    spec = DataSpec(name, (6, 6), "binary", classes=3)
    data = types.SimpleNamespace(train=data.train, valid=data.valid, test=data.test, spec=spec)
    recipe = {"name": "vae", "options": {"latent_dim": latent_dim}}
    config = {"pair": recipe, "fit": {"lr": 0.001, "note": "<i>"}, "seed": 0}
    fields = {
        "pair": pair,
        "data": data,
        "history": HISTORY,
        "quantity": "bound in nats per datum",
        "config": config,
        "path": None,
        **changes,
    }
    fields = {"model": fields["pair"].model, "guide": fields["pair"].guide, **fields}
    return types.SimpleNamespace(**fields)


EVALUATION = types.SimpleNamespace(
    quantity="bound in nats per datum",
    to_json=lambda: {
        "elbo": -101.25,
        "elbo_stderr": 0.5,
        "bound": "lower",
        "num_samples": 5000,
        "active_units": {"z": 2},
        "kl": {"z": 1.5},
        "kl_per_dim": {"z": [1.0, 0.5]},
        "log_evidence": float("nan"),
    },
)


def test_pictures_are_images(tmp_path):
    paths = pictures(make_run(), tmp_path)
    assert set(paths) == ALWAYS | {"manifold"}
    for name, path in paths.items():
        assert path == tmp_path / "pictures" / f"{name}.png"
        with Image.open(path) as image:
            image.load()
            assert min(image.size) > 50
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == sorted(f"{name}.png" for name in paths)


def test_report_is_one_page_with_every_picture(tmp_path):
    run = make_run(path=tmp_path)
    assert write_report(run, evaluation=EVALUATION) == tmp_path / "report.html"
    page = (tmp_path / "report.html").read_text()
    inline = re.findall(r'<img alt="(\w+)" src="data:image/png;base64,([^"]+)"', page)
    assert {name for name, _ in inline} == ALWAYS | {"manifold"}
    for _, content in inline:
        Image.open(io.BytesIO(base64.b64decode(content))).load()
    assert "<script" not in page and "http" not in re.sub(r'base64,[^"]+', "", page)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures", "report.html"]


def test_names_are_escaped_and_figures_readable(tmp_path):
    row = {"value": None, "standard_error": 0.01, "ceiling": 1.0, "definition": "<i>"}
    scores = {"scores": {"Gaussian TC": row}}
    page = write_report(make_run(), tmp_path / "page.html", EVALUATION, scores).read_text()
    assert "<title>vae on toy &lt;b&gt;&amp;</title>" in page
    assert "<b>" not in page and "<i>" not in page
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for expected in (
        "ELBO -101.25 ± 0.5 nats per datum",
        "KL, z 1.5 nats per datum",
        "KL per dimension, z 1, 0.5 nats per datum",
        "active units, z 2 ",
        "num samples 5000 ",
        "bound lower ",
        "options.latent_dim 2",
        "log p(x) nan nats",
        "Gaussian TC infinite 0.0100 1.0000 &lt;i&gt;",
    ):
        assert expected in text
    assert "lower nats" not in text and "elbo stderr" not in text


def test_report_is_the_same_each_time_and_leaves_the_random_state(tmp_path):
    run = make_run()
    torch.manual_seed(9)
    before = torch.get_rng_state()
    first = write_report(run, tmp_path / "a.html").read_bytes()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(10)
    assert write_report(run, tmp_path / "b.html").read_bytes() == first


def test_what_does_not_apply_is_left_out(tmp_path):
    assert set(pictures(make_run(latent_dim=3, history=[]), tmp_path)) == ALWAYS - {"learning_curves"}


def test_vectors_and_correlated_guides(tmp_path):
    pair = linear_gaussian(DataSpec("toy", (4,), "real"), latent_dim=3)
    data = as_data(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)))
    assert set(pictures(make_run(pair=pair, data=data), tmp_path)) == ALWAYS


def two_sites():
    def model(x):
        with pyro.plate("data", x.shape[0], dim=-1):
            a = pyro.sample("a", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            b = pyro.sample("b", dist.Normal(x.new_zeros(4), 1.0).to_event(1))
            loc = torch.cat([a, a], -1) + b
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("a", dist.Normal(x[:, :2] / 2, 0.5).to_event(1))
            pyro.sample("b", dist.Normal(x / 2, 0.5).to_event(1))

    return Pair(model, guide)


def test_several_sites_have_pictures_each(tmp_path):
    data = as_data(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)))
    names = set(pictures(make_run(pair=two_sites(), data=data), tmp_path))
    assert {"traversals_a", "traversals_b", "manifold_a", "kl_bars_b", "latent_scatter_a"} <= names
    assert "manifold_b" not in names


def test_no_folder_is_made(tmp_path):
    with pytest.raises(OptionError, match="give path="):
        write_report(make_run())
    with pytest.raises(RunError, match="does not exist"):
        write_report(make_run(), tmp_path / "none" / "report.html")
    with pytest.raises(RunError, match="does not exist"):
        pictures(make_run(), Path(tmp_path) / "none")
    assert not (tmp_path / "none").exists()
