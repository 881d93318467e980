"""Cells of the published tables: they restart after a kill, what is finished is reused and nothing else; their tables."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from forked import run_script

import pyrovae as pv
from benchmarks.lab import published
from benchmarks.lab.cells import Budget
from benchmarks.lab.door import main
from benchmarks.lab.jobs import Agenda
from benchmarks.lab.records import Records
from benchmarks.lab.runner import How, folder_of, result_of, run_cell
from benchmarks.tables import flows, iwae, iwae_swap, rainforth, vampprior
from pyrovae.compile.optimizers import build_scheduler
from pyrovae.files import load_state

ROOT = Path(__file__).parents[2]
SMOKE = Budget("smoke")
TABLES = {
    table.name: table for table in (iwae.IWAE, iwae_swap.IWAE_SWAP, rainforth.RAINFORTH, vampprior.VAMPPRIOR, flows.FLOWS)
}
# A pair of the user's own, which kills its own process in the middle of training as long as there is no file "spared".
OWN = """
import os, signal
from pathlib import Path
import torch
import pyrovae as pv

calls = [0]

def kill(module, inputs):
    calls[0] += torch.is_grad_enabled()
    if calls[0] == 9 and not Path("spared").exists():
        Path("spared").touch()
        os.kill(os.getpid(), signal.SIGKILL)

def build(spec):
    pair = pv.pairs.vae(spec, latent_dim=2, hidden=[6])
    pair.guide.register_forward_pre_hook(kill)
    return pair
"""


def run(*words, where):
    """A command in a process of its own, from a folder that knows the repository."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "benchmarks", "run", *words, "--quiet", "--threads", "1"]
    done = subprocess.run(words, cwd=where, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done


def rows_at(folder, name):
    """What is recorded in a folder, as the rows of the table."""
    return published.rows_of(Records(folder / "smoke" / f"{name}.json").rows)


@pytest.mark.parametrize("name", ["rainforth", "vampprior"])
def test_a_table_has_a_row_for_each_cell(name, smoke, out):
    smoke(name)
    rows = rows_at(out, name)
    assert [row["label"] for row in rows] == [cell.label for cell in TABLES[name].cells(SMOKE)]
    for row in rows:
        assert row["published"] is None  # no figure of MNIST beside the digits
        (result,) = row["results"]
        assert -60 < result["elbo"] < result["log_p"] < -20 and result["epochs"] == 2 and result["num_samples"] == 10
        assert result["log_p_mc_stderr"] < result["log_p_stderr"] < 1
        assert {"versions", "machine", "command", "peak_mib", "seconds", "active_units", "date"} <= result.keys()
        assert result["command"].startswith(f"python -m benchmarks run {name} --budget smoke")


def test_a_table_killed_in_the_middle_of_a_cell_restarts_and_ends_as_if_it_had_not_been(tmp_path, monkeypatch, smoke):
    (tmp_path / "own.py").write_text(OWN)
    words = ["iwae", "--pair", "own.py:build", "--cells", "[1o]*k = 1 digits", "--out"]
    line = ["benchmarks", "run", *words, "killed", "--quiet", "--threads", "1"]
    script = f"import os, runpy, sys\nsys.path.insert(0, {str(ROOT)!r})\nos.chdir({str(tmp_path)!r})\nsys.argv = {line!r}\n"
    assert run_script(script + "runpy.run_module('benchmarks', run_name='__main__')") == -signal.SIGKILL
    assert (tmp_path / "spared").exists()
    (first, *_), own = (
        sorted((tmp_path / "killed" / "smoke" / "cells").glob(pattern)) for pattern in ("*1-layer*", "*own-py*")
    )
    done = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert first / "seed-0" / "result.json" in done
    half = load_state(own[0] / "seed-0" / "run" / "checkpoint.safetensors")
    assert 0 < half["step"] < 14 and not (own[0] / "seed-0" / "result.json").exists()

    monkeypatch.chdir(tmp_path)
    name, *words = words[:-1]
    smoke(name, *words, folder=tmp_path / "killed")
    assert done == {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}  # finished: not touched
    shutil.copytree(tmp_path / "killed", tmp_path / "whole")
    shutil.rmtree(tmp_path / "whole" / "smoke" / "cells" / own[0].name)
    smoke(name, *words, folder=tmp_path / "whole")
    killed, whole = (rows_at(tmp_path / out, "iwae") for out in ("killed", "whole"))
    starts = []
    for row, other in zip(killed, whole, strict=True):
        (one,), (two,) = row["results"], other["results"]
        assert (one["log_p"], one["elbo"], one["train_bound"]) == (two["log_p"], two["elbo"], two["train_bound"])
        starts.append((one["label"], one["starts"]))
    assert [label for label, number in starts if number == 2] == ["own.py:build, VAE = IWAE, k = 1"]
    assert max(number for _, number in starts) == 2


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which one cell is finished."""
    how = How(tmp_path_factory.mktemp("done"), "a test", progress=False)
    return how, run_cell(iwae.cell(SMOKE, "dyn", 1, "VAE", 1), 0, how)


@pytest.fixture
def first(done, how):
    """The result of the finished cell, in the test's own folder."""
    shutil.copytree(done[0].out, how.out, dirs_exist_ok=True)
    return done[1]


@pytest.fixture
def cell():
    return iwae.cell(SMOKE, "dyn", 1, "VAE", 1)


@pytest.fixture
def how(tmp_path):
    return How(tmp_path, "a test", progress=False)


def test_a_changed_setting_is_not_reused(cell, how, first):
    assert run_cell(cell, 0, how) == first
    assert run_cell(replace(cell, label="renamed"), 0, how) == first
    for changed in (
        replace(cell, fit={**cell.fit, "lr": 5e-3}),
        replace(cell, options={**cell.options, "hidden": [9]}),
        replace(cell, objective="iwae:num_particles=2"),
        replace(cell, samples=20),
        replace(cell, start=cell),
        replace(cell, data={**cell.data, "binarization": "fixed"}),
    ):
        assert result_of(changed, 0, how.out) is None
    assert result_of(cell, 1, how.out) is None
    assert run_cell(replace(cell, fit={**cell.fit, "lr": 5e-3}), 0, how)["log_p"] != first["log_p"]


def test_a_changed_file_of_a_pair_is_not_reused(cell, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    before = cell.of_pair(f"{file}:build").fingerprint
    file.write_text(OWN + "\n# another")
    assert cell.of_pair(f"{file}:build").fingerprint != before


def test_what_was_killed_before_its_first_checkpoint_starts_anew(cell, how, first):
    folder = folder_of(cell, 0, how.out)
    (folder / "result.json").unlink()
    (folder / "run" / "checkpoint.safetensors").unlink()
    again = run_cell(cell, 0, how)
    assert again["log_p"] == first["log_p"] and again["starts"] == 1


def test_what_was_killed_while_it_was_evaluated_is_not_trained_again(cell, how, first, monkeypatch):
    (folder_of(cell, 0, how.out) / "result.json").unlink()
    monkeypatch.setattr(pv, "fit", None)
    monkeypatch.setattr(pv, "resume", None)
    again = run_cell(cell, 0, how)
    assert again["log_p"] == first["log_p"] and again["starts"] == 2


def test_a_swapped_cell_goes_on_from_the_others_parameters(how, first):
    swapped = TABLES["iwae-swap"].cells(SMOKE)[0]
    still = replace(swapped, fit={**swapped.fit, "lr": 1e-12})
    assert run_cell(still, 0, how)["log_p"] == pytest.approx(run_cell(swapped.start, 0, how)["log_p"], abs=1e-3)


def test_what_a_cell_starts_from_comes_first_and_counts(how, collected):
    _, back = TABLES["iwae-swap"].cells(SMOKE)  # the IWAE of 5 particles, then of 50, then the VAE
    result = run_cell(back, 0, how)
    chain = [result_of(each, 0, how.out) for each in (back.start.start, back.start)]
    assert [each["before"] and each["before"]["epochs"] for each in [*chain, result]] == [None, 2, 4]
    rows = published.rows_of(collected(TABLES["iwae-swap"], [back], how.out).rows)
    seconds = sum(each["seconds"]["wall"] for each in [*chain, result])
    assert rows[0]["summary"]["minutes"] == pytest.approx(seconds / 60)
    assert "| 4 + 2 |" in published.render(TABLES["iwae-swap"], "smoke", rows)


def test_a_cell_begins_as_soon_as_what_it_goes_on_from_is_finished():
    vae, back = (iwae.cell(SMOKE, "dyn", 1, "VAE", 1), TABLES["iwae-swap"].cells(SMOKE)[1])
    agenda, names = Agenda([vae, back, back.start], [0, 1]), {}
    for each in (vae, back.start.start, back.start, back):
        names[each.fingerprint] = each.objective.replace("num_particles=", "")
    begun = [agenda.next() for _ in range(5)]
    assert [key and (names[key[0]], key[1]) for key in begun] == [
        ("iwae:5", 0),  # what has most to follow is first
        ("iwae:5", 1),
        ("elbo:1", 0),
        ("elbo:1", 1),
        None,
    ]
    agenda.done(begun[1])
    key = agenda.next()  # though the same cell of seed 0, and the VAEs, are still at work
    assert (names[key[0]], key[1]) == ("iwae:50", 1) and agenda.next() is None
    for each in (begun[0], begun[2], begun[3], key):
        agenda.done(each)
    assert {(names[each[0]], each[1]) for each in (agenda.next(), agenda.next())} == {("iwae:50", 0), ("elbo:1", 1)}
    assert len(agenda.left) == 3  # in all two cells of each of four


def test_several_jobs_and_seeds(tmp_path, capsys):
    words = ["run", "rainforth", "--cells", "*CIWAE*0.5 *", "--out", str(tmp_path), "--quiet"]
    assert main([*words, "--seeds", "0", "1", "--jobs", "2", "--threads", "1"]) == 0
    (row,) = rows_at(tmp_path, "rainforth")
    first, second = (result["log_p"] for result in row["results"])
    assert first != second and "Cells that are not finished: 6 of 7." in capsys.readouterr().out
    assert row["summary"]["log_p"] == pytest.approx((first + second) / 2)
    assert row["summary"]["log_p_seed_stderr"] == pytest.approx(abs(first - second) / 2)
    assert row["results"][0]["elbo"] < row["results"][0]["log_p"] and row["summary"]["bound"] is not None


def test_two_devices(tmp_path):
    words = ["iwae", "--cells", "1 layer, IWAE, k = 5 *", "--out", "two", "--devices", "2"]
    done = run(*words, where=tmp_path)
    (row, _) = rows_at(tmp_path / "two", "iwae")
    assert row["results"][0]["processes"] == 2 and -60 < row["results"][0]["log_p"] < -20
    assert done.stdout.count("**Importance weighted autoencoders") == 1


def test_errors_are_sentences(tmp_path, capsys):
    assert main(["run", "iwae", "--cells", "nothing", "--out", str(tmp_path)]) == 1
    assert main(["run", "iwae", "--devices", "2", "--jobs", "2", "--out", str(tmp_path)]) == 1
    assert main(["run", "iwae", "--pair", str(tmp_path / "no.py"), "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 3 and all(line.startswith("error: ") for line in said)


# ------------------------------------------------------------------------------------------------ declarations
def test_the_papers_staircase():
    """3^i epochs at 0.001 10^(-i/7)."""
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=iwae.PAPER_FIT["lr"])
    scheduler = build_scheduler(iwae.PAPER_FIT["scheduler"], optimizer, iwae.PAPER_FIT["scheduler_options"])
    rates = []
    optimizer.step()
    for _ in range(iwae.PAPER_FIT["epochs"]):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    expected = [1e-3 * 10 ** (-i / 7) for i in range(8) for _ in range(3**i)]
    assert rates == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("budget", [Budget("cpu"), Budget("cpu", 120.0), Budget("paper")])
def test_declared_cells_are_ones_that_fit_takes(budget):
    for table in TABLES.values():
        cells = table.cells(budget)
        assert len({cell.label + json.dumps(cell.data) for cell in cells}) == len(cells)
        for cell in cells:
            json.dumps(cell.settings())
            binarization = cell.data["binarization"]
            assert (cell.data["name"], binarization) in {
                ("mnist-60k", "dynamic"),
                ("mnist", "dynamic"),
                ("binary-mnist", "fixed"),
            }
            pv.objectives.get(cell.objective)
            optimizer = torch.optim.Adam([torch.zeros(1)], lr=cell.fit["lr"], **cell.fit.get("optimizer_options", {}))
            build_scheduler(cell.fit.get("scheduler"), optimizer, cell.fit.get("scheduler_options") or {})
            fewer = budget.name == "cpu" and table.name in ("vampprior", "flows")
            assert cell.samples == (1000 if fewer else 5000) and cell.fit["epochs"] > 50
            if cell.published and budget.name == "paper" and table.name.startswith("iwae"):
                assert cell.fit["batch_size"] == 20


def test_more_minutes_are_more_epochs():
    for short, long in zip(*(TABLES["iwae"].cells(Budget("cpu", minutes)) for minutes in (30, 120)), strict=True):
        assert 4 <= long.fit["epochs"] / short.fit["epochs"] < 5
        assert short.fingerprint != long.fingerprint
