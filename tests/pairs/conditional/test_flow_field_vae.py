"""Flow fields: drawn faces whose flow is exact, a translation that is found, and smoothness that no bound contains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from making import made, traced

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.data import named
from pyrovae.data.faces import MIDDLE, SIZE, Faces
from pyrovae.errors import ContractError, OptionError
from pyrovae.nets import folds, total_variation, warp
from pyrovae.objectives import Given


# ------------------------------------------------------------------------------------------------ faces by rule
def test_an_expression_is_the_neutral_face_read_where_the_flow_says():
    faces, rng = Faces(), np.random.default_rng(0)
    factors = faces.draw(200, rng)
    neutral = factors.copy()
    neutral[:, :2] = 4, 3
    assert not faces.flow(neutral).any()
    x, source, flow = faces.images(factors), faces.images(neutral), faces.flow(factors)
    row, v = np.arange(SIZE)[:, None] + flow[:, 0], np.arange(SIZE) - MIDDLE + flow[:, 1]
    np.testing.assert_array_equal(x, np.round(255 * faces.neutral(factors[:, 2:], row, v)))
    read = 255 * warp(torch.tensor(source / 255.0), torch.tensor(flow)).numpy()
    error, before = np.abs(read - x).mean(), np.abs(source.astype(float) - x).mean()
    assert error < 0.25 * before and not folds(torch.tensor(flow)).any(), (error, before)
    smile, frown = (faces.flow(np.array([[m, 3, 0, 0, 0, 0]]))[0, 0] for m in (8, 0))
    corner, centre = smile[22, 10], smile[22, 15]
    assert corner > 0 > centre and np.allclose(smile, -frown)  # corners are read from below: they stand higher


def test_the_sets_have_sources_of_the_same_face(monkeypatch, tmp_path):
    data = pv.data.load("faces")
    batch = data.test[:20]
    names = Faces.names
    factors = np.stack([batch[name].numpy() for name in names], 1)
    assert torch.equal(batch["x"], torch.from_numpy(Faces().images(factors) / np.float32(255)))
    factors[:, :2] = 4, 3
    assert torch.equal(batch["source"], torch.from_numpy(Faces().images(factors) / np.float32(255)))
    monkeypatch.setattr(named, "FREY_ROWS", 100)
    (tmp_path / "FreyFaces").mkdir()
    images = np.random.default_rng(1).integers(0, 256, (100, 28, 20), dtype=np.uint8)
    np.savez_compressed(tmp_path / "FreyFaces" / "frey_faces.npz", images=images)
    pairs = pv.data.load("frey-pairs", root=tmp_path)
    assert sum(len(part) for part in pairs.parts().values()) == 100 and pairs.spec.keys["source"].kind == "levels"
    for part in pairs.parts().values():  # neighbours of a part are in it
        rows = part[:]
        distance = (rows["source"].unsqueeze(1) - rows["x"]).abs().flatten(2).amax(2)
        nearest, own = distance.min(1), torch.arange(len(distance))
        assert (nearest.values == 0).all() and (nearest.indices != own).all() and ((nearest.indices - own).abs() <= 5).all()


# ------------------------------------------------------------------------------------------------ the pair
def test_zero_flow_is_the_source_bitwise_and_scores_as_a_gaussian_about_it(grey):
    data = pv.data.transform(grey, "affine:source=true")
    pair = made("flow_field_vae", data.spec, latent_dim=2, hidden=[8], scale=0.3)
    torch.nn.init.zeros_(pair.model.decoder.mlp[-1].weight)
    batch = data.test[:5]
    trace = trace_pair(pair.model, pair.guide, batch, 3)
    fn = trace.model_sites["x"]["fn"]
    assert torch.equal(fn.mean.expand(3, 5, 8, 8), batch["source"].expand(3, 5, 8, 8))
    expected = torch.distributions.Normal(batch["source"], 0.3).log_prob(batch["x"]).sum((1, 2))
    torch.testing.assert_close(trace.log_p["x"], expected.expand(3, 5))


def test_what_is_trained_is_the_bound_less_the_variation_and_what_is_reported_the_bound(grey):
    data = pv.data.transform(grey, "affine:source=true")
    pair = made("flow_field_vae", data.spec, latent_dim=2, hidden=[8])
    batch = data.test[:6]
    objective, trace, update = traced("smoothness:weight=0.7", pair, batch)
    flow = pair.model.flow(trace.latents["z"], batch["source"])
    bound = pv.objectives.get("meanfield").terms(trace).bound
    torch.testing.assert_close(update.bound, bound)
    torch.testing.assert_close(update.loss, -(bound - 0.7 * total_variation(flow)[0]).mean())
    torch.testing.assert_close(update.figures["variation"], total_variation(flow).mean())
    assert float(update.figures["folds"]) == float(folds(flow).mean()) and objective.weights["weight"] == 0.7
    plain = made("vae", grey.spec, latent_dim=2, hidden=[8])
    with pytest.raises(ContractError, match=r"has no flow\(z, source\)"):
        pv.objectives.get("smoothness").value(Given(plain.model, plain.guide, [batch]))
    with pytest.raises(OptionError, match="affine:source=true"):
        pv.pairs.flow_field_vae(grey.spec)


def test_a_translation_is_recovered_within_a_tenth_of_a_pixel():
    torch.manual_seed(0)
    place = torch.arange(12.0)
    at = 3 + 5 * torch.rand(64, 2)
    centres = at[:, :, None, None]

    def blobs(down, right):
        rows, columns = place[:, None] + down - centres[:, 0], place + right - centres[:, 1]
        return torch.exp(-(rows.square() + columns.square()) / 8)

    shift = torch.tensor([0.7, -1.2])
    source, x = blobs(0.0, 0.0), blobs(*shift)
    data = pv.data.load({"x": x, "source": source}, kinds={"x": "real", "source": "real"})
    pair = made("flow_field_vae", data.spec, latent_dim=1, hidden=[8], scale=0.05)
    pv.fit(pair, data, steps=80, batch_size=52, lr=4e-2, validate=False, progress=False, compile=False)
    with torch.no_grad():
        flow = pair.model.flow(pv.encode(pair, data.train)["z"], data.train["source"])
    slope = torch.stack(torch.gradient(data.train["source"], dim=(1, 2)), 1)
    weight = slope.square()  # where nothing changes, nothing is seen to move
    found = (weight * flow).sum((0, 2, 3)) / weight.sum((0, 2, 3))
    assert (found - shift).abs().max() < 0.1, found
