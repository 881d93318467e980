"""The README's promises: its pair runs as printed, its tables and those of docs/ are what the recipes say."""

from __future__ import annotations

import inspect
import re
import runpy
from pathlib import Path

import numpy as np

import pyrovae as pv
from pyrovae.cli import main
from pyrovae.cli.listing import as_markdown, family_rows

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CATALOGUE = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_every_verb_stands_in_the_table_of_doors():
    table = re.search(r"\| `\(pair, data\)` .*?\n\n", README, re.DOTALL)[0]
    named = set(re.findall(r"\w+", table))
    assert {name for name in pv.__all__ if inspect.isfunction(getattr(pv, name))} - {"observed_part", "unroll"} <= named


def test_the_pair_of_the_readme_runs_as_printed_in_about_30_lines(tmp_path, monkeypatch, capsys):
    pair = next(block for block in BLOCKS if "def build" in block)
    assert len([line for line in pair.splitlines() if line.strip() and not line.startswith("#")]) <= 35
    (tmp_path / "my_pair.py").write_text(pair)
    np.savez(tmp_path / "my.npz", x=np.random.default_rng(0).normal(size=(100, 6)).astype("float32"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    commands = re.findall(r"^    pyrovae (.*(?:my_pair|runs/mine).*)$", README, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["check", "train", "evaluate"]
    for command in commands:
        command = command.replace("--epochs 100", "--epochs 2").replace("--num_samples 5000", "--num_samples 20")
        assert main(command.split()) == 0, capsys.readouterr().err


def test_the_python_of_the_readme_runs_on_digits(tmp_path, monkeypatch):
    code = next(block for block in BLOCKS if "pv.data.load" in block)
    code = code.replace('"binary-mnist"', '"digits"').replace("epochs=50", "epochs=1").replace("epochs=100", "epochs=2")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code.replace("num_samples=5000", "num_samples=5").replace("to_arviz(run)", "to_arviz(run, num_samples=5)"), names)
    assert names["x"].shape == (64, 8, 8) and names["x_hat"].shape == (10, 8, 8) and len(names["run"].history) == 2


def test_the_tables_are_what_the_recipes_say():
    assert as_markdown() == CATALOGUE, "run `make catalogue`"
    objectives = runpy.run_path(str(ROOT / "docs" / "write_objectives.py"))["page"]
    assert (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8") == objectives(), "run make catalogue"
    page = runpy.run_path(str(ROOT / "docs" / "write_data.py"))["page"]
    assert page() == (ROOT / "docs" / "data.md").read_text(encoding="utf-8"), "run `make catalogue`"
    with_families = runpy.run_path(str(ROOT / "docs" / "write_catalogue.py"))["with_families"]
    assert with_families(README) == README, "run `make catalogue`"
    assert all(row in README for row in family_rows())
    counts = re.findall(r"^\| \[\w+\]\(.*?\) \| (\d+) \|", README, re.MULTILINE)
    assert sum(map(int, counts)) == len(pv.pairs.CATALOGUE)


def test_every_objective_is_in_the_readme():
    for name in pv.objectives.OBJECTIVES:
        assert f"`{name}`" in README
