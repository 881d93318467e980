"""Transforms of data: few labels in batches of one make-up, missing values, conditions; seeded, recorded, replayed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pyrovae as pv
from pyrovae.data import DataSpec, LabelledSplit
from pyrovae.errors import DataError, OptionError


def labelled(**options):
    chosen = {"name": "few-labels", "num_labels": 50, **options}
    return pv.data.load("digits", transforms=[chosen])


# ------------------------------------------------------------------------------------------------ labels
def test_as_many_labels_of_each_class_by_the_seed_alone():
    whole = pv.data.load("digits")
    data, again, other = labelled(), labelled(), labelled(seed=1)
    y = data.train["y"]
    known = y >= 0
    assert y[known].bincount().tolist() == [5] * 10 and (y[known] == whole.train["y"][known]).all()
    assert torch.equal(y, again.train["y"]) and not torch.equal(y, other.train["y"])
    assert data.fingerprint() == again.fingerprint() != other.fingerprint()
    assert torch.equal(data.test["y"], whole.test["y"]) and data.spec == whole.spec


@pytest.mark.parametrize(("share", "batch_size", "expected"), [(0.1, 100, 10), (0.5, 64, 32), (0.01, 20, 1)])
def test_every_batch_has_the_same_make_up_and_an_epoch_all_unlabelled_rows(share, batch_size, expected):
    train = labelled(share=share).train
    batches = list(train.epoch(batch_size, seed=0, epoch=3))
    assert len(batches) == train.num_batches(batch_size) == -(-1247 // (batch_size - expected))
    for batch in batches:
        assert len(batch["x"]) == batch_size
        assert (batch["y"][:expected] >= 0).all() and (batch["y"][expected:] < 0).all()
    rows = torch.cat([batch["index"][expected:] for batch in batches])
    labels = torch.cat([batch["index"][:expected] for batch in batches])
    assert len(rows.unique()) == 1247 and len(rows) - 1247 < batch_size - expected
    counts = labels.bincount()
    counts = counts[counts > 0]
    assert len(labels) < 50 or (len(counts) == 50 and counts.max() - counts.min() <= 1)


def test_a_batch_is_a_function_of_seed_epoch_and_number():
    train = labelled().train
    batches = list(train.epoch(100, seed=1, epoch=2))
    for start in (0, 3, 13):
        for late, batch in zip(train.epoch(100, seed=1, epoch=2, start=start), batches[start:], strict=True):
            assert all(torch.equal(late[key], batch[key]) for key in batch)
    assert not torch.equal(next(train.epoch(100, seed=1, epoch=3))["index"], batches[0]["index"])
    assert sum(len(batch["x"]) for batch in train.batches(100)) == len(train) == 1297


def test_a_run_on_few_labels_resumes_bitwise(tmp_path):
    data = labelled()

    def pair():
        torch.manual_seed(0)
        return pv.pairs.m2(data.spec, latent_dim=3, hidden=[10])

    whole = pv.fit(pair(), data, steps=20, batch_size=200, progress=False)
    pv.fit(pair(), data, steps=11, batch_size=200, progress=False, out=tmp_path / "run", tensorboard=False)
    resumed = pv.resume(tmp_path / "run", steps=20, progress=False)
    assert isinstance(resumed.data.train, LabelledSplit)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_own_labels_with_gaps():
    y = np.where(np.arange(60) % 3 == 0, np.arange(60) % 2, -1)
    data = pv.data.as_data(({"x": np.random.default_rng(0).normal(size=(60, 4)), "y": y},) * 2)
    assert data.spec.classes == 2
    mixed = pv.data.few_labels(data, share=0.25)
    assert [(batch["y"] >= 0).sum() for batch in mixed.train.epoch(8, seed=0, epoch=0)] == [2] * 7
    few = pv.data.few_labels(data, num_labels=4)
    assert (few.train["y"] >= 0).sum() == 4 and few.source is None


def test_what_few_labels_refuses():
    with pytest.raises(DataError, match="a multiple of the 10 classes"):
        labelled(num_labels=55)
    with pytest.raises(DataError, match="class 0 has 1[0-9]{2} rows; expected at least 500"):
        labelled(num_labels=5000)
    with pytest.raises(OptionError, match="share is 1"):
        labelled(share=1)
    with pytest.raises(DataError, match="no labels y"):
        pv.data.few_labels(pv.data.as_data(torch.rand(30, 3)), num_labels=2)
    with pytest.raises(OptionError, match="did you mean 'num_labels'"):
        labelled(num_label=3)
    with pytest.raises(OptionError, match="did you mean 'few-labels'"):
        pv.data.load("digits", transforms=["few-label"])
    with pytest.raises(DataError, match="not a DataLoader"):
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.rand(30, 3)), batch_size=5)
        pv.data.missing(pv.data.as_data(loader))
    with pytest.raises(DataError, match="batch_size is 1; expected an integer of at least 2"):
        labelled().train.num_batches(1)


# ------------------------------------------------------------------------------------------------ masks and conditions
def test_missing_values_are_zero_and_stay_missing():
    data = pv.data.load("digits", binarization="none", transforms=["missing:rate=0.3"])
    whole = pv.data.load("digits", binarization="none")
    batch, truth = data.train[:200], whole.train[:200]["x"]
    mask = batch["mask"].bool()
    assert torch.equal(batch["x"][mask], truth[mask]) and (batch["x"][~mask] == 0).all()
    assert abs(float(mask.float().mean()) - 0.7) < 5 * (0.21 / mask.numel()) ** 0.5
    for drawn in data.train.epoch(100, seed=0, epoch=0):
        assert torch.equal(drawn["mask"], data.train[drawn["index"]]["mask"])
    assert dict(data.spec.covariates) == {"mask": (8, 8)} and data.train.spec == data.spec
    assert (pv.data.load("digits", transforms=["missing:parts=train"]).test["mask"] == 1).all()


@pytest.mark.parametrize(("given", "share"), [(1, 0.25), (2, 0.5), (3, 0.75)])
def test_quadrants(given, share):
    batch = pv.data.load("digits", transforms=[f"quadrants:given={given}"]).test[:5]
    mask = batch["given"]
    assert mask.mean() == share and torch.equal(batch["c"], batch["x"] * mask)
    assert (mask[:, 4:, :4] == 1).all() and (mask[:, 4:, 4:] == 0).all()


def test_holes_move_in_training_and_stay_in_evaluation():
    data = pv.data.load("digits", transforms=["holes:size=0.5"])
    first, second = (next(data.train.epoch(50, seed=0, epoch=epoch)) for epoch in (0, 1))
    again = next(data.train.epoch(50, seed=0, epoch=0))
    assert torch.equal(first["given"], again["given"]) and not torch.equal(first["given"], second["given"])
    assert ((1 - first["given"]).sum((1, 2)) == 16).all() and len((1 - first["given"]).unique(dim=0)) > 10
    assert torch.equal(data.test[:7]["given"], data.test["given"][:7])
    assert torch.equal(data.test[torch.tensor([5, 2])]["given"], data.test["given"][[5, 2]])


def test_low_resolution():
    batch = pv.data.load("digits", transforms=["low-resolution:factor=4"]).test[:5]
    means = batch["x"].unflatten(2, (2, 4)).unflatten(1, (2, 4)).mean((2, 4))
    torch.testing.assert_close(batch["c"][:, ::4, ::4], means)
    assert len(batch["c"][0].unique()) <= 4 and (batch["given"] == 0).all()


def test_transforms_are_replayed_from_source_and_written_in_the_spec():
    data = pv.data.load("digits", transforms=["few-labels:num_labels=50", "holes:size=0.25"])
    again = pv.data.load(**data.source)
    assert again.fingerprint() == data.fingerprint() != labelled().fingerprint()
    assert isinstance(again.train, LabelledSplit) and again.train.keys == ("x", "y", "c", "given")
    assert DataSpec.from_json(data.spec.to_json()) == data.spec
    batches = [next(d.train.epoch(20, seed=0, epoch=0)) for d in (data, again)]
    assert all(torch.equal(batches[0][key], batches[1][key]) for key in batches[0])
    part = data.train.subset(torch.arange(100))
    assert isinstance(part, LabelledSplit) and torch.equal(part["y"], data.train["y"][:100])


# ------------------------------------------------------------------------------------------------ corruption
def corrupted(process, parts="train", **options):
    chosen = {"name": "corrupt", "process": process, "parts": parts, **options}
    return pv.data.load("digits", binarization="none", transforms=[chosen])


def an_epoch(data, epoch=0, start=0):
    return list(data.train.epoch(100, seed=0, epoch=epoch, start=start))


def both(batches):
    return (torch.cat([batch[key] for batch in batches]) for key in ("x", "x_corrupted"))


def test_corruptions_have_the_law_that_they_are_named_after():
    x, noisy = both(an_epoch(corrupted("gaussian", scale=0.5)))
    noise = (noisy - x).flatten()
    error = 0.5 / len(noise) ** 0.5
    assert abs(noise.mean()) < 4 * error and abs(noise.std() - 0.5) < 4 * error
    assert abs((noise.abs() < 0.5).float().mean() - 0.6827) < 4 * error and abs(noise @ x.flatten()) / len(noise) < 4 * error

    x, masked = both(an_epoch(corrupted("masking", rate=0.3)))
    on = x > 0
    assert torch.equal(masked[masked != 0], x[masked != 0]) and (masked[~on] == 0).all()
    assert float((masked[on] == 0).float().mean()) == pytest.approx(0.3, abs=4 * 0.46 / int(on.sum()) ** 0.5)

    x, flecked = both(an_epoch(corrupted("salt-and-pepper", rate=0.4)))
    between = (x > 0) & (x < 1)
    for value, share in ((0.0, 0.2), (1.0, 0.2)):
        found = float((flecked[between] == value).float().mean())
        assert found == pytest.approx(share, abs=4 * 0.4 / int(between.sum()) ** 0.5)
    kept = between & (flecked != 0) & (flecked != 1)
    assert torch.equal(flecked[kept], x[kept])


@pytest.mark.parametrize("process", ["gaussian", "masking", "salt-and-pepper"])
def test_corruption_is_new_each_epoch_fixed_elsewhere_and_leaves_x(process):
    data, clean = corrupted(process, "all"), pv.data.load("digits", binarization="none")
    first, second = an_epoch(data), an_epoch(data, epoch=1)
    for late, batch in zip(an_epoch(data, start=5), first[5:], strict=True):
        assert all(torch.equal(late[key], batch[key]) for key in batch)
    by_row = [torch.cat([b["x_corrupted"] for b in e])[torch.cat([b["index"] for b in e]).argsort()] for e in (first, second)]
    assert not torch.equal(*by_row) and torch.equal(data.train["x"], clean.train["x"])
    assert torch.equal(data.test[:7]["x_corrupted"], data.test["x_corrupted"][:7])
    assert (data.test["x_corrupted"] != data.test["x"]).any()
    trained = corrupted(process)
    assert torch.equal(trained.test["x_corrupted"], trained.test["x"]) and trained.fingerprint() != data.fingerprint()
    assert pv.data.load(**data.source).fingerprint() == data.fingerprint()


def test_a_denoising_run_resumes_bitwise(tmp_path):
    data = corrupted("gaussian", "all")

    def trained(folder, epochs):
        torch.manual_seed(0)
        return pv.fit(pv.pairs.dae(data.spec, hidden=[20]), data, epochs=epochs, out=folder, progress=False)

    whole, short = trained(tmp_path / "whole", 3), trained(tmp_path / "short", 1)
    again = pv.resume(tmp_path / "short", epochs=3, progress=False)
    assert again.history["train"].tolist() == whole.history["train"].tolist() != short.history["train"].tolist()
    for one, other in zip(whole.guide.parameters(), again.guide.parameters(), strict=True):
        assert torch.equal(one, other)


def test_corruptions_that_make_no_sense_are_refused():
    with pytest.raises(OptionError, match="no corruption process is called 'salt-pepper'; did you mean 'salt-and-pepper'"):
        corrupted("salt-pepper")
    with pytest.raises(OptionError, match="rate is 2, scale 0.5, parts 'train'; expected a rate from 0 to 1"):
        corrupted("masking", rate=2)
    real = pv.data.as_data(torch.randn(50, 4))
    with pytest.raises(DataError, match="salt-and-pepper sets values to 0 or 1, and these are real numbers"):
        pv.data.corrupt(real, process="salt-and-pepper")
