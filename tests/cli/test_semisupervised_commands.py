"""The commands on partly labelled, conditional and incomplete data, as a user types them."""

from __future__ import annotations

import json
import re

import matplotlib.image
import numpy as np
import pytest

from pyrovae.cli import main

SMALL = ["--latent_dim", "3", "--hidden", "[20]", "--epochs", "2", "--progress", "false", "--tensorboard", "false"]


def run(*args):
    assert main([str(arg) for arg in args]) == 0


def fails(capsys, *args):
    assert main([str(arg) for arg in args]) == 2
    return capsys.readouterr().err


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_class_from_few_labels(folder, capsys):
    labels = ["--transforms", "few-labels:num_labels=50,seed=1"]
    run("train", "m2", *SMALL, "--objective", "semisupervised:alpha=1.0,base=meanfield", "--out", "m2", *labels)
    assert "1,297 (50 labelled) train" in capsys.readouterr().out
    run("evaluate", "m2", "--num_samples", "10")
    out = capsys.readouterr().out
    assert re.search(r"^log p\(x, y\) = -\d+", out, re.M) and re.search(r"^accuracy = \d+\.\d\d% \(95% interval", out, re.M)
    figures = json.loads((folder / "m2" / "evaluation.json").read_text())
    low, high = figures["accuracy_interval_95"]
    assert low < figures["accuracy"] < high and figures["log_joint"] < figures["log_evidence"]
    run("sample", "m2", "--by_site", "y", "--num", "3", "--out", "classes.png")
    run("sample", "m2", "--given", "{y: 3}", "--num", "2", "--out", "threes.npz")
    with np.load(folder / "threes.npz") as arrays:
        assert arrays["y"].argmax(-1).tolist() == [3, 3] and arrays["x"].shape == (2, 8, 8)
    assert "leave out one" in fails(capsys, "sample", "m2", "--given", "{y: 3}", "--by_site", "y")
    run("analogies", "m2", "--num", "3", "--out", "analogies.png")
    assert all(matplotlib.image.imread(folder / name).ndim == 3 for name in ("classes.png", "analogies.png"))
    run("report", "m2")
    page = (folder / "m2" / "report.html").read_text()
    assert all(text in page for text in ("accuracy", "analogies", "class_samples", "calibration error"))
    run("resume", "m2", "--epochs", "3", "--threads", "1")


def test_stages_by_one_command_and_a_classifier_of_features(folder, capsys):
    line = ["train", "m1-m2", *SMALL, "--feature_dim", "4", "--feature_hidden", "[20]", "--stage_epochs", "3"]
    run(*line, "--transforms", "few-labels:num_labels=50", "--out", "stacked")
    config = json.loads((folder / "stacked-stage-1" / "config.json").read_text())
    assert config["pair"]["name"] == "m1" and config["fit"]["epochs"] == 3
    run("evaluate", "stacked", "--num_samples", "5")
    run("evaluate", "stacked-stage-1", "--num_samples", "5", "--classifier", "svm")
    assert "accuracy = " in capsys.readouterr().out
    assert "did you mean 'svm'" in fails(capsys, "evaluate", "stacked-stage-1", "--classifier", "svn", "--num_samples", "5")
    # the same command goes on from the stages that are there
    (folder / "stacked-stage-1").rename(folder / "third-stage-1")
    before = (folder / "third-stage-1" / "metrics.csv").read_text()
    run(*line, "--transforms", "few-labels:num_labels=50", "--out", "third")
    assert (folder / "third-stage-1" / "metrics.csv").read_text() == before and (folder / "third").exists()


def test_completions(folder, capsys):
    run("train", "cvae", *SMALL, "--transforms", "holes:size=0.5", "--out", "cvae")
    run("complete", "cvae", "--num", "3", "--num_samples", "2", "--out", "holes.png")
    assert "pyrovae complete cvae" in fails(capsys, "sample", "cvae")
    run("train", "vae", *SMALL, "--out", "vae")
    assert "Give --mask, one of upper-half" in fails(capsys, "complete", "vae")
    assert "did you mean 'lower-half'" in fails(capsys, "complete", "vae", "--mask", "lower")
    run("complete", "vae", "--mask", "lower-half", "--num", "3", "--num_steps", "5", "--out", "halves.png")
    run("train", "vae", *SMALL, "--transforms", "missing:rate=0.3", "--out", "missing")
    run("evaluate", "missing", "--num_samples", "5")
    run("complete", "missing", "--num", "3", "--num_steps", "5", "--out", "missing.png")
    run("sample", "missing", "--out", "samples.png")
    for name in ("holes", "halves", "missing"):
        assert matplotlib.image.imread(folder / f"{name}.png").ndim == 3
    run("report", "missing")
    assert "completions" in (folder / "missing" / "report.html").read_text()


def test_wrong_transforms_are_named(capsys):
    assert "did you mean 'few-labels'" in fails(capsys, "train", "m2", "--transforms", "few-label")
    assert "transforms=['quadrants:given=1']" in fails(capsys, "train", "cvae")
