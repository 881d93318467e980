"""Bad command lines, over every command: each ends with code 2 and one sentence that names the option or the file."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import shutil

import numpy as np
import pytest
import torch

import pyrovae as pv
from pyrovae.cli import main

TRAIN = "train vae --data digits --latent_dim 2 --hidden [4] --steps 1 --progress false --out new"
COMMANDS = {
    "train": TRAIN,
    "resume": "resume run",
    "evaluate": "evaluate run --num_samples 2",
    "gaps": "gaps run --num_samples 2 --max_rows 2 --num_steps 2",
    "sample": "sample run --num 2 --out new.png",
    "analogies": "analogies classes --num 2 --out new.png",
    "complete": "complete run --mask center --num 2 --out new.png",
    "attack": "attack run --num 1 --num_steps 2 --out new.png",
    "report": "report run",
    "to-arviz": "to-arviz run --num_samples 2 --num_chains 1 --num_data 2 --out new.nc",
    "check": "check vae --latent_dim 2 --hidden [4]",
}


@functools.cache
def options_of(command):
    """Option -> its type, as the command's own help tells."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main([*COMMANDS[command].split()[:2], "--help"]) == 0
    flat = re.sub(r"\s+", " ", text.getvalue().partition("options:")[2])
    return dict(re.findall(r" --(\w+) [A-Z_{\[](?:(?! --\w+ [A-Z_{\[]).)*?\(type: ([^,)]+)", flat))


NUMBERS = {"a text": "nope", "NaN": "nan", "infinite": "inf", "below zero": "-1", "a half": "2.5", "a list": "[1,2]"}
RIGHT = {("float", "a half"), ("float | null", "a half")}


def numeric():
    for command in COMMANDS:
        for option, kind in options_of(command).items():
            if kind in ("int", "float", "int | null", "float | null"):
                for what, value in NUMBERS.items():
                    if (kind, what) not in RIGHT:
                        yield f"{COMMANDS[command]} --{option}={value}", option


def switches():
    for command in COMMANDS:
        for option, kind in options_of(command).items():
            if kind in ("bool", "bool | null"):
                yield f"{COMMANDS[command]} --{option}=maybe", option


WHOLE = {
    # ------------------------------------------------------------------------------------ commands
    "": {
        "trian vae": "did you mean 'train'",
        "train": "pair",
        "train vaee": "vaee",
        "train no/such/file.py:build": "file.py",
        "train my.npz": "my.npz",
        "train folder": "folder",
        "train torn.py:build": "torn.py",
        "train raises.py:build": "raises.py",
        "train pair.py": "pair.py",
        "train pair.py:": "pair.py",
        "train pair.py:nothing": "nothing",
        "train pair.py:number": "number",
        "train pair.py:fails --data my.npz": "fails",
        "train pair.py:none --data my.npz": "none",
        "train pair.py:exits --data my.npz": "SystemExit",
        "train no.such.module:build": "no.such.module",
        "check": "PAIR",
        "list --nope": "nope",
        "list extra": "extra",
    },
    # ------------------------------------------------------------------------------------ train: data
    f"{TRAIN} ": {
        "--data no/such.npz": "such.npz",
        "--data digitz": "digitz",
        "--data torn.npz": "torn.npz",
        "--data empty.npz": "empty.npz",
        "--data empty.npy": "empty",
        "--data nan.npy": "nan",
        "--data text.csv": "text.csv",
        "--data ragged.csv": "ragged.csv",
        "--data unknown.qqq": "unknown.qqq",
        "--data folder": "folder",
        "--data fifo.npz": "fifo.npz",
        "--data table.csv --columns x=nothing": "nothing",
        "--data table.csv --columns nothing": "nothing",
        "--data table.csv --columns x=": "columns",
        "--data table.csv --kinds a=cuont": "cuont",
        "--data table.csv --kinds q=count": "q",
        "--data table.csv --kinds a": "kinds",
        "--data table.csv --missing masc": "masc",
        "--binarization dynamik": "dynamik",
        "--transforms quadrant:given=1": "quadrant",
        "--transforms missing:rate=2": "rate",
        "--transforms missing:rat=0.2": "rat",
        "--transforms missing:rate": "rate",
        # ------------------------------------------------------------------------------------ the pair
        "--latent_dim 0": "latent_dim",
        "--hidden nope": "hidden",
        "--hidden [0]": "hidden",
        "--hidden [nan]": "hidden",
        "--likelihood bernouli": "bernouli",
        "--activation rellu": "rellu",
        "--latent_dimm 3": "did you mean --latent_dim",
        "--beta 3": "beta",
        # ------------------------------------------------------------------------------------ the fit
        "--objective elbow": "did you mean 'elbo'",
        "--objective elbo:bta=2": "bta",
        "--objective elbo:beta=nan": "beta",
        "--objective elbo:beta": "beta",
        "--objective iwae:num_particles=0": "num_particles",
        "--objective iwae:num_particles=two": "num_particles",
        "--objective nvil": "nvil",
        "--optimizer Adm": "Adm",
        "--optimizer LBFGS": "LBFGS",
        "--optimizer_options {betass:1}": "optimizer_options",
        "--scheduler OneCycle": "OneCycle",
        "--scheduler_interval hour": "scheduler_interval",
        "--kl_warmup inf": "kl_warmup",
        "--patience 2 --validate false": "patience",
        "--precision float8": "float8",
        "--device gpu7": "gpu7",
        "--seed=18446744073709551616": "seed",
        "--threads 1000000": "threads",
        "--threads 0": "threads",
        "--seeds 0": "seeds",
        "--batch_size 0": "batch_size",
        "--epochs 0": "epochs",
        "--lr 0": "lr",
        "--stage_epochs 3": "stage",
        "--epochs": "epochs",
        "--nope 3": "nope",
        "surplus": "surplus",
        "--num_samples 3": "num_samples",
        "--schedule {bta:1}": "schedule",
        "--schedule nope": "schedule",
        "--config no.yaml": "no.yaml",
        "--config torn.yaml": "torn.yaml",
        "--config bomb.yaml": "bomb.yaml",
        "--config my.npz": "my.npz",
        "--config unknown.yaml": "latent_dimm",
        "--config folder": "folder",
        # ------------------------------------------------------------------------------------ where it goes
        "--out run": "run",
        "--out my.npz": "my.npz",
    },
    # ------------------------------------------------------------------------------------ runs
    **{
        f"{command} ": {
            "no/such/run": "no/such/run",
            "folder": "folder",
            "my.npz": "my.npz",
            "torn-config": "torn-config",
            "no-config": "no-config",
            "empty-config": "empty-config",
            "torn-checkpoint": "torn-checkpoint",
            "no-checkpoint": "no-checkpoint",
            "run surplus": "surplus",
            "run --nope 3": "nope",
            "run --data no/such.npz": "such.npz",
            "run --data my.npz": "data",
            "run --pair no.py:build": "no.py",
            "run --pair pair.py:nothing": "nothing",
            "run --threads 0": "threads",
            "run --threads many": "threads",
            "": "run",
        }
        for command in ("resume", "evaluate", "sample", "complete", "report", "to-arviz")
    },
    "evaluate run ": {
        "--split tset": "did you mean 'test'",
        "--weights worst": "worst",
        "--method importanse": "importanse",
        "--method ais --psis true": "psis",
        "--num_chains 3": "num_chains",
        "--method bridge --num_leapfrog 0": "num_leapfrog",
        "--method ais --start nowhere": "start",
        "--method ais --path curved": "path",
        "--defensive 1.5": "defensive",
        "--classifier forest": "forest",
        "--precision float8": "float8",
        "--checkpoint no/such/folder/file": "no/such/folder",
        "--batch_size 0": "batch_size",
        "--max_rows 0": "max_rows",
        "--num_samples 0": "num_samples",
        "--seed=18446744073709551616": "seed",
    },
    "sample run ": {
        "--num 0": "num",
        "--out new.bmpp": "bmpp",
        "--out folder": "folder",
        "--out no/such/new.png": "no/such",
        "--mean perhaps": "mean",
        "--given y=3": "y",
        "--seed=-1": "seed",
    },
    "complete run --mask center ": {
        "--num 0": "num",
        "--out no/such/new.png": "no/such",
        "--num_steps=-1": "num_steps",
    },
    "analogies ": {"run": "y", "classes --num 0": "num", "no/such": "no/such", "classes --out no/such/new.png": "no/such"},
    "report run ": {"--out no/such/new.html": "out", "--seed 3": "seed"},
    "to-arviz run ": {
        "--out no/such/new.nc": "no/such",
        "--out folder": "folder",
        "--num_samples 0": "num_samples",
        "--num_chains 0": "num_chains",
        "--num_data 0": "num_data",
        "--resample perhaps": "resample",
    },
    "resume run ": {"--epochs 0": "epochs", "--steps 0": "steps", "--lr 3": "lr"},
}


def lines():
    yield from numeric()
    yield from switches()
    for start, ends in WHOLE.items():
        for end, word in ends.items():
            yield start + end, word


LINES = list(dict(lines()).items())


@pytest.fixture(scope="module")
def here(tmp_path_factory, digits):
    """Two runs, damaged copies of one, and files good and bad."""
    folder = tmp_path_factory.mktemp("bad")
    quiet = {"steps": 1, "progress": False, "tensorboard": False}
    torch.manual_seed(0)
    pv.fit(pv.pairs.vae(digits.spec, latent_dim=2, hidden=[4]), digits, **quiet, out=folder / "run")
    pv.fit(pv.pairs.m2(digits.spec, latent_dim=2, hidden=[4]), digits, **quiet, out=folder / "classes")
    for name in ("torn-config", "no-config", "empty-config", "torn-checkpoint", "no-checkpoint"):
        shutil.copytree(folder / "run", folder / name)
    (folder / "torn-config/config.json").write_text('{"pair": ')
    (folder / "no-config/config.json").unlink()
    (folder / "empty-config/config.json").write_text("{}")
    checkpoint = folder / "torn-checkpoint/checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:200])
    (folder / "no-checkpoint/checkpoint.safetensors").unlink()
    rng = np.random.default_rng(0)
    np.savez(folder / "my.npz", x=rng.normal(size=(60, 5)).astype("float32"))
    (folder / "torn.npz").write_bytes((folder / "my.npz").read_bytes()[:300])
    (folder / "empty.npz").write_bytes(b"")
    np.save(folder / "empty.npy", np.zeros((0, 3)))
    np.save(folder / "nan.npy", np.full((9, 3), np.nan))
    (folder / "text.csv").write_bytes(bytes(range(256)))
    (folder / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    (folder / "table.csv").write_text("a,b\n" + "1,2\n" * 30)
    (folder / "unknown.qqq").write_text("1 2")
    os.mkfifo(folder / "fifo.npz")
    (folder / "folder").mkdir()
    (folder / "torn.py").write_text("x = 1 +\n")
    (folder / "raises.py").write_text("raise RuntimeError('no')\n")
    (folder / "pair.py").write_text(
        "import sys\nnumber = 3\ndef fails(spec): return undefined\ndef none(spec): pass\ndef exits(spec): sys.exit(0)\n"
    )
    (folder / "torn.yaml").write_text("a: [")
    (folder / "bomb.yaml").write_text("a: &a [1]\nb: [*a, *a]\n")
    (folder / "unknown.yaml").write_text("latent_dimm: 3\n")
    return folder


def test_the_table_is_long_enough():
    assert len(LINES) >= 250 and all(options_of(command) for command in COMMANDS)


@pytest.mark.parametrize("first", range(0, len(LINES), 20), ids=lambda first: LINES[first][0])
def test_a_bad_line_ends_with_one_sentence(here, monkeypatch, capsys, first):
    monkeypatch.chdir(here)
    before = json.loads((here / "run/config.json").read_text())
    for line, word in LINES[first : first + 20]:
        code = main(line.split())
        said = capsys.readouterr().err
        errors = [each for each in said.splitlines() if each.startswith("pyrovae: ")]
        assert code == 2, f"{line}: {said}"
        assert "Traceback" not in said and "--debug shows where" not in said, f"{line}: {said}"
        assert word in errors[-1] and said.rstrip().endswith(errors[-1]), f"{line}: {said}"
        assert not (here / "new").exists() and json.loads((here / "run/config.json").read_text()) == before, line
