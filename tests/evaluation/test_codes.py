"""How often codes are used: counted by hand for codewords, classes and bits."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.evaluation.codes import code_use
from pyrovae.plots import code_bars
from pyrovae.report.drawings import _code_drawings


class Fixed(nn.Module):
    """A guide (or a model, with x) whose bits and classes are what x says."""

    def __init__(self, observes):
        super().__init__()
        self.w, self.observes = nn.Parameter(torch.zeros(())), observes

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            sure = 40 * (2 * x - 1) if not self.observes else torch.zeros(3)
            bits = pyro.sample("bits", dist.Bernoulli(logits=sure).to_event(1))
            scores = 40 * x if not self.observes else torch.zeros(3)
            pyro.sample("letter", dist.OneHotCategorical(logits=scores))
            pyro.sample("number", dist.Categorical(logits=scores))
            if self.observes:
                pyro.sample("x", dist.Normal(bits + self.w, 1.0).to_event(1), obs=x)


def test_classes_and_bits_are_counted():
    x = torch.eye(3)[[0, 0, 2, 0, 1]]
    found = code_use((Fixed(True), Fixed(False)), x)
    assert list(found) == ["bits", "letter", "number"]
    assert all(counts.tolist() == [3, 1, 1] for counts in found.values())


def test_codewords_are_counted_at_all_places_and_quantizers():
    spec = pv.data.DataSpec("toy", (4,), "real")
    pair = pv.pairs.vq_vae(spec, num_places=3, num_codes=8, code_dim=2, num_quantizers=2, likelihood="gaussian")
    x = torch.randn(50, 4)
    counts = code_use(pair, x, batch_size=7)["z"]
    book = next(m for m in pair.guide.modules() if hasattr(m, "nearest"))
    fn = pyro.poutine.trace(pair.guide).get_trace(x).nodes["z"]["fn"]
    numbers = book.nearest(fn.encoded)
    for q in range(2):
        assert counts[8 * q : 8 * q + 8].tolist() == [int((numbers[..., q] == k).sum()) for k in range(8)]
    said = [text.get_text() for text in code_bars(counts).axes[0].get_legend().get_texts()]
    assert f"{int((counts > 0).sum())} of 16 used" in said
    with pytest.raises(ValueError, match="no latent site of classes, bits or codewords"):
        code_use(pv.pairs.vae(spec, latent_dim=2, likelihood="gaussian"), x)


def test_a_report_shows_the_use_of_codes():
    spec = pv.data.DataSpec("toy", (4,), "binary")
    pair = pv.pairs.categorical_vae(spec, num_variables=2, num_classes=3, hidden=[8])
    assert [name for name, _ in _code_drawings(pair, {"x": torch.ones(5, 4)})] == ["code_bars"]
