"""Containers of other libraries: tables, sparse matrices, AnnData, data sets of Hugging Face, files and folders."""

from __future__ import annotations

import builtins
import copy
import logging
import pickle
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from data_sets import one_sentence
from PIL import Image

import pyrovae as pv
from pyrovae.data import KeySpec, as_split, load
from pyrovae.data.columns import Sparse
from pyrovae.errors import DataError, OptionError

RNG = np.random.default_rng(0)
FRAME = pandas.DataFrame(
    {
        "height": RNG.normal(170, 10, 60),
        "weight": RNG.normal(70, 9, 60),
        "children": RNG.poisson(2.0, 60),
        "smokes": RNG.random(60) > 0.5,
        "town": np.array(["Rome", "Oslo", "Bern"])[np.arange(60) % 3],
        "size": pandas.Categorical(np.array(["S", "M", "L"])[np.arange(60) % 3], ["S", "M", "L"], ordered=True),
        "species": np.array(["cat", "dog"])[np.arange(60) % 2],
    }
)
X_BINARY = RNG.random((60, 4)) > 0.5
MEASURES = {"x": ["height", "weight"], "y": "species"}


# ------------------------------------------------------------------------------------------------ tables
def test_a_frames_columns_lie_side_by_side_each_of_its_kind():
    data = load(FRAME)
    known = data.spec.keys["x"]
    kinds = {name: column.kind for name, column in known.columns.items()}
    assert known.kind == "table" and known.shape == (7,)
    assert kinds == {
        **dict.fromkeys(["height", "weight"], "real"),
        **{"children": "count", "smokes": "binary", "town": "category", "size": "ordinal", "species": "category"},
    }
    assert known.columns["town"].labels == ("Bern", "Oslo", "Rome") and known.columns["size"].labels == ("S", "M", "L")
    whole = load((FRAME, FRAME)).train["x"]
    assert whole.dtype == torch.float32 and np.array_equal(whole[:, 0].numpy(), FRAME["height"].astype("float32"))
    assert whole[:3, 4].tolist() == [2, 1, 0] and whole[:3, 5].tolist() == [0, 1, 2]
    told = load(FRAME, kinds={"height": "positive", "children": "real", "town": "ordinal"}).spec.keys["x"].columns
    assert [told[name].kind for name in ("height", "children", "town")] == ["positive", "real", "ordinal"]


def test_columns_choose_keys_in_memory_and_in_files(tmp_path, caplog):
    FRAME.to_csv(tmp_path / "people.csv", index=False)
    for source in (FRAME, tmp_path / "people.csv"):
        data = load(source, columns=MEASURES)
        assert data.spec.keys["x"].kind == "real" and list(data.spec.keys["x"].columns) == ["height", "weight"]
        assert data.spec.keys["y"].labels == ("cat", "dog")
    assert load(**data.source).fingerprint() == data.fingerprint() and load(**data.source).spec == data.spec
    again = as_split(FRAME.sample(frac=1.0, random_state=0).iloc[:, ::-1], like=data.spec)  # other rows, columns elsewhere
    assert again["x"].shape == (60, 2) and again["x"][:, 0].min() > 100 and set(again["y"].tolist()) == {0, 1}
    renamed = load({"images": RNG.random((20, 4)), "kind": ["a", "b"] * 10}, columns={"x": "images", "y": "kind"})
    assert renamed.spec.shape == (4,) and renamed.spec.classes == 2
    side_by_side = load({"a": np.arange(9.0), "b": np.ones(9)}, columns={"x": ["a", "b"]})
    assert side_by_side.spec.shape == (2,)


def test_what_tables_refuse():
    with pytest.raises(OptionError, match="no column of data is called 'hieght'; did you mean 'height'"):
        load(FRAME, columns={"x": ["hieght"]})
    with pytest.raises(DataError, match="'when',.* holds dates"):
        load(FRAME.assign(when=pandas.Timestamp("2020-01-01")))
    with pytest.raises(OptionError, match="whose columns have no names"):
        load(RNG.random((9, 2)), columns={"x": "a"})
    data = load(FRAME, columns={"x": ["town", "children"]})
    with pytest.raises(DataError, match="town holds Paris; expected one of Bern"):
        as_split(FRAME.assign(town="Paris"), like=data.spec)
    with pytest.raises(DataError, match="NaN.*missing='mask'"):
        load(FRAME.assign(height=np.nan))
    with pytest.raises(OptionError, match="pair vae takes .* of kind table.*kinds"):
        pv.pairs.vae(data.spec)


def test_missing_names_and_numbers_of_a_table():
    holes = FRAME.astype({"children": "Int64"}).copy()
    holes.loc[0, "town"], holes.loc[1, "children"], holes.loc[2, "height"] = None, pandas.NA, np.nan
    data = load((holes, holes), columns={"x": ["town", "children", "height"]}, missing="mask")
    assert (1 - data.train["mask"]).nonzero().tolist() == [[0, 0], [1, 1], [2, 2]]
    assert (data.train["x"][data.train["mask"] == 0] == 0).all()
    assert data.spec.keys["x"].columns["town"].labels == ("Bern", "Oslo", "Rome")


# ------------------------------------------------------------------------------------------------ sparse
@pytest.mark.parametrize("form", ["csr", "coo", "csc", "csr array", "torch COO", "torch CSR", "in a dict"])
def test_sparse_rows_stay_sparse_until_the_batch(form):
    counts = RNG.poisson(0.5, (60, 8))
    made = {
        "csr": scipy.sparse.csr_matrix,
        "coo": scipy.sparse.coo_matrix,
        "csc": scipy.sparse.csc_matrix,
        "csr array": scipy.sparse.csr_array,
        "torch COO": lambda x: torch.from_numpy(x).to_sparse(),
        "torch CSR": lambda x: torch.from_numpy(x).to_sparse().coalesce().to_sparse_coo(),
        "in a dict": lambda x: {"x": scipy.sparse.csr_matrix(x), "y": np.arange(60) % 2},
    }[form](counts)
    data = load((made, made))
    assert isinstance(data.train.store.columns["x"], Sparse) and data.spec.kind == "count"
    assert np.array_equal(data.train["x"].numpy(), counts) and data.train["x"].dtype == torch.int64
    assert np.array_equal(data.train[[5, 3]]["x"].numpy(), counts[[5, 3]])
    whole = load(made)
    assert isinstance(whole.test.store.columns["x"], Sparse) and len(whole.test) == 6
    changed = counts.copy()
    changed[59, 7] += 1
    assert (
        load((scipy.sparse.csr_matrix(changed),) * 2).fingerprint()
        != load((scipy.sparse.csr_matrix(counts),) * 2).fingerprint()
    )


def test_other_sparse_tensors_are_told_to_be_dense():
    with pytest.raises(DataError, match=r"to_dense\(\)"):
        load(torch.eye(4).expand(9, 4, 4).to_sparse())


# ------------------------------------------------------------------------------------------------ other libraries
def test_anndata_by_its_form(caplog):
    cells = SimpleNamespace(
        X=scipy.sparse.csr_matrix(RNG.poisson(1.0, (30, 5))),
        obs=pandas.DataFrame({"cell_type": pandas.Categorical(["T", "B"] * 15), "batch": np.arange(30) % 3}),
        var=pandas.DataFrame(index=list("abcde")),
        layers={"spliced": RNG.poisson(1.0, (30, 5))},
    )
    with caplog.at_level(logging.INFO, logger="pyrovae"):
        assert load(cells).spec.kind == "count"
    assert "obs that are left out: cell_type, batch" in caplog.text
    data = load(cells, columns={"y": "cell_type", "batch": "batch", "x": "spliced"})
    assert data.spec.keys["y"].labels == ("B", "T") and data.spec.covariates == {"batch": ()}
    with pytest.raises(OptionError, match="did you mean 'cell_type'"):
        load(cells, columns={"y": "cell_typ"})


class HuggingFace:
    """As a ``datasets.Dataset`` is asked."""

    def __init__(self, columns, features):
        self.columns, self.features, self.column_names = columns, features, list(columns)

    def with_format(self, kind):
        return self

    def __getitem__(self, rows):
        return self.columns

    def __len__(self):
        return len(next(iter(self.columns.values())))


def test_hugging_face_by_its_form():
    images = [Image.fromarray(each) for each in RNG.integers(0, 256, (30, 8, 8)).astype("uint8")]
    rows = HuggingFace({"image": images, "label": np.arange(30) % 2}, {"label": SimpleNamespace(names=["cat", "dog"])})
    with pytest.raises(DataError, match="say which is x, as in columns="):
        load(rows)
    data = load({"train": rows, "validation": rows}, columns={"x": "image", "y": "label"})
    assert data.spec.levels == 256 and data.spec.keys["y"].labels == ("cat", "dog") and len(data.valid) == 30


# ------------------------------------------------------------------------------------------------ files and folders
def test_a_folder_of_images_with_classes_by_folder(tmp_path):
    pixels = RNG.integers(0, 256, (12, 6, 5, 3)).astype("uint8")
    for number, image in enumerate(pixels):
        folder = tmp_path / "all" / ("cat" if number < 6 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02}.png")
    data = load(tmp_path / "all")
    assert data.spec.keys["x"] == KeySpec((3, 6, 5), "levels", size=256) and data.spec.keys["y"].labels == ("cat", "dog")
    (tmp_path / "parts").mkdir()
    for part in ("train", "test"):
        (tmp_path / "all").rename(tmp_path / "parts" / part) if part == "train" else (tmp_path / "parts" / part).mkdir()
    Image.fromarray(pixels[0]).save(tmp_path / "parts" / "test" / "0.png")
    with pytest.raises(DataError, match="has labels y but .*test.* has none"):
        load(tmp_path / "parts")
    Image.fromarray(pixels[0, :3]).save(tmp_path / "parts" / "train" / "cat" / "small.png")
    with pytest.raises(DataError, match="several sizes"):
        load(tmp_path / "parts" / "train")


ABSENT = [("t.parquet", "pyarrow", "pyarrow"), ("images", "PIL", "pillow"), ("t.h5ad", "anndata", "anndata")]


@pytest.mark.parametrize(("name", "missing", "mend"), ABSENT)
def test_a_library_that_is_absent_is_named_by_what_installs_it(tmp_path, monkeypatch, name, missing, mend):
    real = builtins.__import__

    def without(module, *args, **more):
        if module.partition(".")[0] in (missing, "fastparquet"):
            raise ImportError(f"No module named {module!r}")
        return real(module, *args, **more)

    if name == "images":
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((4, 4), "uint8")).save(tmp_path / name / "a.png")
    else:
        (tmp_path / name).write_bytes(b"PAR1")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=f"pip install {mend}") as caught:
        load(tmp_path / name)
    assert one_sentence(caught.value)


# ------------------------------------------------------------------------------------------------ later data of a run
def test_new_data_are_scaled_as_the_pairs_own_were():
    images = RNG.integers(0, 256, (40, 4, 4)).astype("uint8")
    data = load(images)
    pair = pv.pairs.vae(data.spec, latent_dim=2, hidden=[4])
    new = images[:6]
    wanted = pv.log_evidence(pair, new / 255, num_samples=3).value
    for x in (new, torch.from_numpy(new), (new / 255).astype("float64"), new.astype("int64"), load((new, new, new))):
        assert torch.allclose(pv.log_evidence(pair, x, num_samples=3).value, wanted, atol=1e-5)
    for x in (new.astype("float32"), new.astype("int64") * 9, -new.astype("int64")):
        with pytest.raises(DataError, match="x holds .*expected integers 0..255, or floats from 0 to 1"):
            pv.log_evidence(pair, x, num_samples=3)


def test_copies_of_a_pair_read_new_data_as_it_does():
    data = load({"x": X_BINARY, "y": np.arange(60) % 3 + 1})
    pair = pv.pairs.m2(data.spec, latent_dim=1, hidden=[4])
    rows = {"x": X_BINARY[:6], "y": np.arange(6) % 3 + 1}
    twins = (pair, copy.deepcopy(pair), pickle.loads(pickle.dumps(pair)))
    assert all(pv.classify(twin, rows).labels.tolist() == [0, 1, 2] * 2 for twin in twins)


def test_new_numbers_that_float32_cannot_tell_apart_are_refused():
    spec = load(RNG.normal(size=(40, 2))).spec
    for x in (RNG.normal(size=(40, 2)) + 1e9, RNG.integers(2**30, 2**30 + 40, (40, 2))):
        with pytest.raises(DataError, match="x holds .* that float32 cannot tell apart"):
            as_split(x, like=spec)


def test_counts_of_new_data_are_those_of_training_whatever_their_range(tmp_path):
    x = RNG.poisson(5.0, (40, 4))
    x[0, 0] = 900
    data = load(x)
    for new in (x[1:], x[1:].astype("float32")):
        assert torch.equal(as_split(new, like=data.spec)["x"], torch.tensor(x[1:]))
    with pytest.raises(DataError, match=r"x holds numbers from \d+\.5 to \d+\.5; expected whole numbers"):
        as_split(x[1:] + 0.5, like=data.spec)


def test_a_run_reads_other_files_as_its_own_and_says_when_its_own_have_changed(tmp_path, caplog):
    images = RNG.integers(0, 17, (60, 4, 4)).astype("uint8")
    np.savez(tmp_path / "a.npz", x=images)
    np.savez(tmp_path / "b.npz", x=images[:20])
    data = load(tmp_path / "a.npz", kinds={"x": "levels:17"}, binarization="dynamic")
    pair = pv.pairs.vae(data.spec, latent_dim=1, hidden=[4])
    pv.fit(pair, data, epochs=1, out=tmp_path / "run", progress=False, tensorboard=False)
    other = pv.load(tmp_path / "run", data=tmp_path / "b.npz").data
    assert other.spec.keys == pv.load(tmp_path / "run").data.spec.keys and other.train.grey == data.train.grey
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="pyrovae"):
        pv.load(tmp_path / "run")
        assert not caplog.text
        np.savez(tmp_path / "a.npz", x=images[::-1])
        pv.load(tmp_path / "run")
    assert "have changed since it was trained" in caplog.text
    with pytest.raises(ValueError, match="fingerprints differ"):
        pv.resume(tmp_path / "run", epochs=2, progress=False)


def test_a_file_that_is_read_in_part_is_said_to_be(tmp_path, caplog):
    np.savez(tmp_path / "one.npz", x=RNG.random((40, 3)))
    np.savez(tmp_path / "parts.npz", x_train=RNG.random((40, 3)), x_test=RNG.random((9, 3)))
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="pyrovae"):
        assert len(as_split(tmp_path / "parts.npz")) == 9 and len(as_split("digits")) == 250 and not caplog.text
        assert len(as_split(tmp_path / "one.npz")) == 4
    assert "one is one set of rows and is split 80/10/10: its test part has 4" in caplog.text


def test_keys_beside_x_ride_along_through_fit_save_load_and_resume(tmp_path):
    """A guide that reads a key of whole numbers beside x."""

    class Guide(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x, lengths):
            assert lengths.dtype == torch.int64
            return self.inner(x * (torch.arange(x.shape[-1]) < lengths.unsqueeze(-1)))

    data = load({"x": torch.randn(60, 4), "lengths": torch.randint(1, 5, (60,))})

    def build():
        torch.manual_seed(0)
        pair = pv.pairs.vae(data.spec, latent_dim=1, hidden=[4])
        return pair.model, Guide(pair.guide)

    run = pv.fit(build(), data, epochs=1, out=tmp_path / "run", progress=False, tensorboard=False)
    loaded = pv.load(tmp_path / "run", pair=build(), data=data)
    values = [pv.log_evidence(each, data.test, num_samples=3).value for each in (run, loaded)]
    assert torch.equal(*values)
    assert len(pv.resume(tmp_path / "run", epochs=2, pair=build(), data=data, progress=False).history) == 2
