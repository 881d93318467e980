"""``python -m benchmarks``: every table runs on digits, restarts after a kill, reuses what is finished and nothing else."""

from __future__ import annotations

import copy
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

import pyrovae as pv
from benchmarks import report
from benchmarks.__main__ import main
from benchmarks.cells import Budget, joined, waves
from benchmarks.runner import How, folder_of, result_of, run_cell
from benchmarks.tables import TABLES, iwae
from pyrovae.compile.optimizers import build_scheduler
from pyrovae.files import load_state

ROOT = Path(__file__).parent.parent
SMOKE = Budget("smoke")
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


def run(*words, code=0, where=None):
    """A command in a process of its own, from a folder that knows the repository."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "benchmarks", *words, "--quiet", "--threads", "1"]
    done = subprocess.run(words, cwd=where, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.parametrize("name", TABLES)
def test_every_table_runs_on_digits(name, tmp_path, capsys):
    assert main([name, "--out", str(tmp_path), "--quiet"]) == 0
    content = json.loads((tmp_path / f"{name}-smoke.json").read_text())
    assert [row["label"] for row in content["rows"]] == [cell.label for cell in TABLES[name].cells(SMOKE)]
    for row in content["rows"]:
        assert row["published"] is None  # no figure of MNIST beside the digits
        (result,) = row["results"]
        assert -60 < result["elbo"] < result["log_p"] < -20 and result["epochs"] == 2 and result["num_samples"] == 10
        assert result["log_p_mc_stderr"] < result["log_p_stderr"] < 1
        assert {"versions", "machine", "command", "peak_mib", "seconds", "active_units", "date"} <= result.keys()
    assert (tmp_path / f"{name}-smoke.png").stat().st_size > 5000
    assert (tmp_path / f"{name}-smoke-curves.png").stat().st_size > 5000
    assert capsys.readouterr().out.strip() == (tmp_path / f"{name}-smoke.md").read_text().strip()


def test_a_table_killed_in_the_middle_of_a_cell_restarts_and_ends_as_if_it_had_not_been(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    words = ["iwae", "--pair", "own.py:build", "--cells", "*k = 1 digits", "--out"]
    run(*words, "killed", code=-signal.SIGKILL, where=tmp_path)
    assert (tmp_path / "spared").exists()
    (first, *_), own = (sorted((tmp_path / "killed" / "cells").glob(pattern)) for pattern in ("*1-layer*", "*own-py*"))
    done = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert first / "seed-0" / "result.json" in done
    half = load_state(own[0] / "seed-0" / "run" / "checkpoint.safetensors")
    assert 0 < half["step"] < 14 and not (own[0] / "seed-0" / "result.json").exists()

    run(*words, "killed", where=tmp_path)
    assert done == {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}  # finished: not touched
    run(*words, "whole", where=tmp_path)
    killed, whole = (json.loads((tmp_path / out / "iwae-smoke.json").read_text()) for out in ("killed", "whole"))
    starts = []
    for row, other in zip(killed["rows"], whole["rows"], strict=True):
        (one,), (two,) = row["results"], other["results"]
        assert (one["log_p"], one["elbo"], one["train_bound"]) == (two["log_p"], two["elbo"], two["train_bound"])
        starts.append((one["label"], one["starts"]))
    assert [label for label, number in starts if number == 2] == ["own.py:build, VAE = IWAE, k = 1"]
    assert max(number for _, number in starts) == 2


@pytest.fixture
def cell():
    return iwae.cell(SMOKE, "dyn", 1, "VAE", 1)


@pytest.fixture
def how(tmp_path):
    return How(tmp_path, "a test", progress=False)


def test_a_changed_setting_is_not_reused(cell, how):
    first = run_cell(cell, 0, how)
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


def test_what_was_killed_before_its_first_checkpoint_starts_anew(cell, how):
    whole = run_cell(cell, 0, how)
    folder = folder_of(cell, 0, how.out)
    (folder / "result.json").unlink()
    (folder / "run" / "checkpoint.safetensors").unlink()
    again = run_cell(cell, 0, how)
    assert again["log_p"] == whole["log_p"] and again["starts"] == 1


def test_what_was_killed_while_it_was_evaluated_is_not_trained_again(cell, how, monkeypatch):
    whole = run_cell(cell, 0, how)
    (folder_of(cell, 0, how.out) / "result.json").unlink()
    monkeypatch.setattr(pv, "fit", None)
    monkeypatch.setattr(pv, "resume", None)
    again = run_cell(cell, 0, how)
    assert again["log_p"] == whole["log_p"] and again["starts"] == 2


def test_a_swapped_cell_goes_on_from_the_others_parameters(how):
    swapped = TABLES["iwae-swap"].cells(SMOKE)[0]
    still = replace(swapped, fit={**swapped.fit, "lr": 1e-12})
    assert run_cell(still, 0, how)["log_p"] == pytest.approx(run_cell(swapped.start, 0, how)["log_p"], abs=1e-3)


def test_what_a_cell_starts_from_comes_first_and_counts(how):
    _, back = TABLES["iwae-swap"].cells(SMOKE)  # the IWAE of 5 particles, then of 50, then the VAE
    assert [[each.objective for each in wave] for wave in waves([back, back.start])] == [
        ["iwae:num_particles=5"],
        ["iwae:num_particles=50"],
        ["elbo:num_particles=1"],
    ]
    result = run_cell(back, 0, how)
    chain = [result_of(each, 0, how.out) for each in (back.start.start, back.start)]
    assert [each["before"] and each["before"]["epochs"] for each in [*chain, result]] == [None, 2, 4]
    content = report.document(TABLES["iwae-swap"], SMOKE, [back], how.out)
    seconds = sum(each["seconds"]["wall"] for each in [*chain, result])
    assert content["rows"][0]["summary"]["minutes"] == pytest.approx(seconds / 60)
    assert "| 4 + 2 |" in report.render(content)


def test_own_pairs_join_each_protocol_once(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    rows = joined(TABLES["iwae"].cells(SMOKE), [f"{file}:build"])
    own = [row for row in rows if row.pair == f"{file}:build"]
    assert len(rows) == 30 and len(own) == 10  # five protocols on each of two binarizations
    assert len({row.fingerprint for row in rows}) == 30
    assert {row.start.pair for row in joined(TABLES["iwae-swap"].cells(SMOKE), [f"{file}:build"])} == {"vae", own[0].pair}


def test_several_jobs_and_seeds(tmp_path, capsys):
    words = ["rainforth", "--cells", "*CIWAE*", "--out", str(tmp_path), "--quiet"]
    assert main([*words, "--seeds", "0", "1", "--jobs", "2", "--threads", "1"]) == 0
    (row, _) = json.loads((tmp_path / "rainforth-smoke.json").read_text())["rows"]
    first, second = (result["log_p"] for result in row["results"])
    assert first != second
    assert row["summary"]["log_p"] == pytest.approx((first + second) / 2)
    assert row["summary"]["log_p_seed_stderr"] == pytest.approx(abs(first - second) / 2)
    assert row["results"][0]["elbo"] < row["results"][0]["log_p"] and row["summary"]["bound"] is not None


def test_two_devices(tmp_path):
    words = ["iwae", "--cells", "1 layer, IWAE, k = 5 *", "--out", "two", "--devices", "2"]
    run(*words, where=tmp_path)
    (row, _) = json.loads((tmp_path / "two" / "iwae-smoke.json").read_text())["rows"]
    assert row["results"][0]["processes"] == 2 and -60 < row["results"][0]["log_p"] < -20


def test_errors_are_sentences(tmp_path, capsys):
    assert main(["iwae", "--cells", "nothing", "--out", str(tmp_path)]) == 1
    assert main(["iwae", "--devices", "2", "--jobs", "2", "--out", str(tmp_path)]) == 1
    assert main(["iwae", "--pair", str(tmp_path / "no.py"), "--out", str(tmp_path)]) == 1
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


# ------------------------------------------------------------------------------------------------ the table
@pytest.fixture
def content(how):
    """Three cells on two binarizations, one of them not finished, with published figures."""
    cells = [replace(each, published=None) for each in TABLES["iwae"].cells(SMOKE)]
    figure = iwae.cell(Budget("paper"), "dyn", 1, "VAE", 1).published
    cells = [replace(cells[0], published=figure), cells[10], replace(cells[2], published=figure)]
    for seed in (0, 1):
        run_cell(cells[0], seed, how)
    run_cell(cells[1], 0, how)
    return report.document(TABLES["iwae"], SMOKE, cells, how.out)


def cells_of(line):
    return [part.strip() for part in line.strip("|").split("|")]


def test_markdown_and_json_agree(content):
    text = report.render(content)
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 2 and "binarized anew" in text and "binarized once" in text  # never in one table
    assert "Cells that are not finished: 1 of 3." in text
    for table, row in zip(tables, content["rows"], strict=False):
        heads, _, line = (cells_of(each) for each in table.splitlines())
        shown, results = dict(zip(heads, line, strict=True)), row["results"]
        mean = sum(result["log_p"] for result in results) / len(results)
        assert shown[""] == row["label"] and shown["seeds"] == str(len(results))
        assert shown["log p(x)"].split()[0] == f"{mean:.2f}"
        assert shown["ELBO"] == f"{sum(result['elbo'] for result in results) / len(results):.2f}"
        if row["published"]:
            error = abs(results[0]["log_p"] - results[1]["log_p"]) / 2
            assert shown["log p(x)"] == f"{mean:.2f} +- {error:.2f}"
            assert shown["published"] == "-86.76 (19) [1]" and "[1] Burda" in text
            assert shown["ours - published"] == f"{mean + 86.76:+.2f}"
    result = content["rows"][0]["results"][0]
    for told in (result["date"], result["machine"]["processor"], result["versions"]["torch"], "`a test`"):
        assert told in text


def test_rows_of_several_seeds_are_held_against_the_first_of_their_data_set(content, how):
    cells = TABLES["iwae"].cells(SMOKE)
    assert "first row" not in report.render(content)
    for seed in (0, 1):
        run_cell(cells[2], seed, how)
    again = report.document(TABLES["iwae"], SMOKE, [cells[0], cells[10], cells[2]], how.out)
    first, other, row = again["rows"]
    assert first["difference"] is None and other["difference"] is None  # another data set, one seed
    a, b = ([result["log_p"] for result in each["results"]] for each in (row, first))
    assert row["difference"]["mean"] == pytest.approx((a[0] + a[1] - b[0] - b[1]) / 2)
    assert row["difference"]["stderr"] == pytest.approx(0.5 * math.hypot(a[0] - a[1], b[0] - b[1]))
    assert 0 < row["difference"]["p"] < 1
    heads, _, line, last = next(part for part in report.render(again).split("\n\n") if part.startswith("|")).splitlines()
    place = cells_of(heads).index("- first row")
    assert cells_of(line)[place] == "-" and cells_of(last)[place].startswith(f"{row['difference']['mean']:+.2f} +- ")


def test_cells_that_were_killed_are_told(content):
    assert "Stopped in the middle" not in report.render(content)
    content["rows"][1]["results"][0]["starts"] = 2
    label = content["rows"][1]["label"]
    assert f"continued from the last checkpoint: {label} (digits)." in report.render(content)


def test_a_block_of_the_readme_is_replaced_and_nothing_else(content, tmp_path):
    readme = tmp_path / "README.md"
    others = "kept\n<!-- table: iwae cpu -->\n<!-- end -->\n"
    readme.write_text(f"# Results\n\n<!-- table: iwae smoke -->\nold\n<!-- end -->\n\n{others}")
    report.write_block(readme, content, ["figures/a.png"])
    text = readme.read_text()
    assert text.startswith("# Results\n\n<!-- table: iwae smoke -->\n\n**Importance") and "old" not in text
    assert text.endswith(f"![](figures/a.png)\n\n<!-- end -->\n\n{others}")
    report.write_block(readme, content, ["figures/a.png"])
    assert readme.read_text() == text
    report.write_block(tmp_path / "new.md", content)
    assert (tmp_path / "new.md").read_text() == report.block(content) + "\n"


def test_write_puts_all_beside_the_readme(how, tmp_path, capsys):
    words = ["rainforth", "--cells", "*MIWAE*", "--out", str(how.out), "--quiet"]
    readme = tmp_path / "docs" / "README.md"
    readme.parent.mkdir()
    assert main([*words, "--write", str(readme)]) == 0
    told = (tmp_path / "docs" / "results" / "rainforth-smoke.json").read_text()
    assert readme.read_text().startswith("<!-- table: rainforth smoke -->")
    assert report.render(json.loads(told)) in readme.read_text()
    assert main([*words, "--table", "--out", str(tmp_path / "another machine"), "--write", str(readme)]) == 0
    assert capsys.readouterr().out.strip().endswith(report.render(json.loads(told)))
    assert (tmp_path / "docs" / "results" / "rainforth-smoke.json").read_text() == told


def test_results_of_another_machine_are_kept_unless_their_seed_was_run_here(content, how, tmp_path):
    cells = [replace(each, published=None) for each in TABLES["iwae"].cells(SMOKE)]
    foreign = copy.deepcopy(content)
    for result in foreign["rows"][0]["results"]:
        result["log_p"] = -1.0
    shutil.rmtree(folder_of(cells[0], 1, how.out))
    shutil.rmtree(folder_of(cells[10], 0, how.out))
    merged = report.document(TABLES["iwae"], SMOKE, [cells[0], cells[10], cells[2]], how.out, foreign)["rows"]
    assert merged[0]["results"] == [content["rows"][0]["results"][0], foreign["rows"][0]["results"][1]]
    assert merged[0]["summary"]["log_p"] == (content["rows"][0]["results"][0]["log_p"] - 1) / 2
    assert merged[1]["results"] == content["rows"][1]["results"] and merged[2]["summary"] is None


def test_rows_of_own_pairs_are_kept_when_the_table_is_written_without_them(content, how):
    foreign = copy.deepcopy(content)
    mine, gone = foreign["rows"][0], foreign["rows"][1]
    mine["label"], mine["fingerprint"] = gone["label"], gone["fingerprint"] = "mine.py:build, ELBO", "0123456789ab"
    gone["label"] = "a row that the table no longer has"
    mine["results"][0]["settings"]["pair_sha256"] = "of the file"
    cells = [replace(each, published=None) for each in TABLES["iwae"].cells(SMOKE)]
    merged = report.document(TABLES["iwae"], SMOKE, cells, how.out, foreign)["rows"]
    assert merged[len(cells) :] == [mine]
    same = replace(cells[0], label=mine["label"])
    assert len(report.document(TABLES["iwae"], SMOKE, [same], how.out, foreign)["rows"]) == 1


def test_curves_are_drawn_from_the_json(content):
    dynamic, fixed = report.curves(content).axes
    assert (dynamic.get_title(), fixed.get_title()) == ("digits, dynamic", "digits, fixed")
    for axes, row in zip((dynamic, fixed), content["rows"], strict=False):
        curve = row["results"][0]["curve"]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [row["label"]]
        assert curve["epoch"] == [1, 2] and axes.lines[0].get_ydata().tolist() == curve["train"]
        assert curve["train"][-1] == row["results"][0]["train_bound"]
    later = copy.deepcopy(content)
    later["rows"][0]["results"][0]["before"] = {"epochs": 10, "wall": 1.0}
    later["rows"][0]["results"][0]["curve"]["valid"] = [None, None]
    axes = report.curves(later).axes[0]
    assert axes.lines[0].get_xdata().tolist() == [11, 12] and len(axes.lines) == 1
    assert "dashed" in dynamic.get_ylabel() and "dashed" not in axes.get_ylabel()
    later["rows"][0]["results"][0]["before"]["epochs"] = 0
    later["rows"][0]["results"][0]["curve"]["epoch"] = [1, 10]
    assert (axes.get_xscale(), report.curves(later).axes[0].get_xscale()) == ("linear", "log")


def test_the_readmes_tables_are_those_of_the_json_beside_it():
    text = (ROOT / "benchmarks" / "README.md").read_text()
    for name in TABLES:
        for file in (ROOT / "benchmarks" / "results").glob(f"{name}-*.json"):
            content = json.loads(file.read_text())
            if content["table"] == name:
                assert report.render(content) in text, f"{file.name}: python -m benchmarks {name} --write"
