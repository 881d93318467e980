"""``python -m benchmarks list | run NAME | table NAME``: every entry runs, and prints what is recorded."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.entries import ENTRIES
from benchmarks.lab import markdown
from benchmarks.lab.door import RESULTS, listing, main, parser, publish
from benchmarks.lab.entry import BUDGETS, Option
from benchmarks.lab.records import Records
from benchmarks.studies import kills, source
from benchmarks.tables import autoencoders
from benchmarks.worked.examples import SCRIPTS
from pyrovae.errors import OptionError, RunError

ROOT = Path(__file__).parents[2]
WORKED = {script.replace("_", "-") for script in SCRIPTS}  # run by test_worked.py
PART = {"iwae": ["--cells", "2 layers, * digits"]}  # one layer is in the tables that go on from it


def small_checkout(folder):
    """Two packages of this one."""
    for package in ("pyrovae/evidence", "benchmarks/lab"):
        shutil.copytree(ROOT / package, folder / package)
    return folder


@pytest.mark.parametrize("name", sorted(ENTRIES.keys() - WORKED))
def test_every_entry_runs_on_digits(name, smoke, out, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.speed.row.PAUSE", 0)  # for threads to fall asleep, of which there is one
    rows = smoke(name, *PART.get(name, []), *(["--path", str(small_checkout(tmp_path))] if name == "source" else []))
    printed = capsys.readouterr().out
    assert rows and printed.strip()
    for text in ENTRIES[name].tables(rows).values():
        assert text in printed and "nan" not in text
    page = (out / "smoke" / f"{name}.md").read_text()
    figures = re.findall(r"!\[\]\((.*)\)", page)
    assert set(figures) == {f"figures/{figure}.png" for figure in ENTRIES[name].figures(rows)}
    assert all((out / "smoke" / figure).stat().st_size > 5000 for figure in figures)
    assert main(["table", name, "--out", str(out / "smoke")]) == 0
    told = capsys.readouterr().out.strip()
    assert told and told in printed
    CHECKS.get(name, lambda rows: None)(rows)


def check_autoencoders(rows):
    cells = [(row["kind"], row["name"]) for row in rows]
    assert cells == [(kind, name) for kind in ("reconstruction", "log p") for name in autoencoders.names(kind)]
    errors = {row["name"]: row["squared_error"] for row in rows if row["kind"] == "reconstruction"}
    assert min(errors, key=errors.get) == "pca"  # after one epoch, the only one that is done
    plain, *others = [row for row in rows if row["kind"] == "log p"]
    assert plain["elbo"] < plain["mean"] < 0 and len(plain["values"]) == 50
    for row in others:
        assert row["elbo"] < row["mean"] < 0 and "values" not in row
        assert row["more_than_vae"] == pytest.approx(row["mean"] - plain["mean"], abs=0.006)  # those of the VAE are rounded


def check_semisupervised(rows):
    assert [row["method"] for row in rows] == ["m1-knn", "m2", "m1-m2"]
    assert all(0 < row["error"] < 100 and "grey_error" not in row for row in rows)


def check_m2_speed(rows):
    assert [row["method"] for row in rows] == ["compiled", "eager", "hand-written PyTorch", "stock Pyro"]


def check_m2_evidence(rows):
    (row,) = rows
    assert abs(row["estimate"] - row["exact"]) < 5 * row["mc_stderr"] + 0.02


def check_speed(rows):
    assert {"hand", "fit-eager", "compiled", "pyro"} <= rows[0]["contenders"].keys()
    assert "nothing is compiled" in rows[0]["missing"]["hand-compile"]


def check_leaks(rows):
    assert rows[0]["threads_more"] == 0 and rows[0]["megabytes"] > 100


def check_exact(rows):
    figures = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert len(figures) > 25 and max(figures) < 4


def check_kills(rows):
    assert {row["signal"] for row in rows} == {"SIGKILL", "SIGTERM"}
    assert all(row["differs"] == [] and row["runs"] >= 1 and row["kills"] == 1 for row in rows)


def check_source(rows):
    assert rows[0]["lines"] > 1000 and rows[0]["function_median"] > 3


def check_sbn(rows):
    assert rows[0]["gradient"] == 0.0 and len(rows) == 4


CHECKS = {
    "autoencoders": check_autoencoders,
    "semisupervised": check_semisupervised,
    "m2-speed": check_m2_speed,
    "m2-evidence": check_m2_evidence,
    "speed": check_speed,
    "kills": check_kills,
    "leaks": check_leaks,
    "exact": check_exact,
    "source": check_source,
    "sbn": check_sbn,
}


# ------------------------------------------------------------------------------------------------ declarations
def test_entries_declare_what_they_take():
    for name, entry in ENTRIES.items():
        assert name == entry.name and entry.shows.endswith(".")
        assert {"smoke", "cpu"} <= entry.budgets.keys() <= set(BUDGETS)
        for spend in entry.budgets.values():
            assert spend.cost and spend.options.keys() <= {*entry.options, "threads"}
        for option in entry.options.values():
            assert isinstance(option, Option) and option.help


def test_options_are_the_commands_the_budgets_or_their_own():
    given = parser(ENTRIES).parse_args(["run", "objectives", "--budget", "cpu", "--samples", "7"])
    settled = ENTRIES["objectives"].settle(given)
    assert (settled.samples, settled.seeds, settled.epochs) == (7, [0, 1], 10)
    given = parser(ENTRIES).parse_args(["run", "objectives", "--budget", "smoke"])
    assert ENTRIES["objectives"].settle(given).epochs == 1


def test_the_list_says_what_it_shows_costs_and_when_it_last_ran():
    text = listing(ENTRIES)
    for name, entry in ENTRIES.items():
        assert re.search(rf"^{name} +{re.escape(entry.shows)}$", text, re.MULTILINE)
        assert f"cpu: {entry.budgets['cpu'].cost}" in text
    assert "Last ran: 2026-11-22." in text and "Last ran: never." in text


def test_the_readme_links_every_page_and_is_short():
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    assert len(readme.splitlines()) <= 120
    assert set(re.findall(r"\(results/(.*?)\)", readme)) == {path.name for path in RESULTS.glob("*.md")}
    assert all(name in readme for name in ENTRIES)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_pages_have_the_tables_of_the_records(path, capsys):
    entry, rows = ENTRIES[path.stem], Records(path).rows
    page = path.with_suffix(".md").read_text()
    blocks = dict(re.findall(r"<!-- table: (.*?) -->\n\n(.*?)\n\n(?:!\[\].*?)?<!-- end -->", page, re.DOTALL))
    found = entry.tables(rows)
    assert blocks.keys() <= found.keys()
    for name, text in blocks.items():
        assert text == found[name], f"python -m benchmarks run {path.stem} --record writes it anew"
    assert main(["table", path.stem]) == 0
    assert capsys.readouterr().out.strip() == "\n\n".join(found.values())
    keys = [json.dumps(item["key"], sort_keys=True) for item in Records(path).items]
    assert len(set(keys)) == len(keys)


def test_the_door_is_a_module_of_python(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "table", "kills"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("benchmarks", run_name="__main__")
    assert not ended.value.code and capsys.readouterr().out.strip()


# ------------------------------------------------------------------------------------------------ records
def test_a_cell_that_stands_in_the_records_is_not_made_again(tmp_path, capsys):
    records = Records(tmp_path / "some.json", silent=("values",))
    assert records.cell({"name": "a"}, lambda: {"log_p": -1.0, "values": [1]}) == {"name": "a", "log_p": -1.0, "values": [1]}
    assert json.loads(capsys.readouterr().out) == {"name": "a", "log_p": -1.0}
    again = Records(tmp_path / "some.json")
    assert again.cell({"name": "a"}, lambda: 1 / 0)["values"] == [1] and capsys.readouterr().out == ""
    assert again.last == again.items[0]["date"] and "python" in again.items[0]["on"]
    again.add({"name": "a"}, {"log_p": -2.0})
    again.add({"name": "b"}, {"log_p": -3.0})
    assert Records(tmp_path / "some.json").rows == [{"name": "a", "log_p": -2.0}, {"name": "b", "log_p": -3.0}]
    (tmp_path / "some.json").rename(tmp_path / "other.json")
    with pytest.raises(RunError, match="has records of 'some', expected 'other'"):
        Records(tmp_path / "other.json")


def test_smoke_is_not_recorded(tmp_path, capsys):
    assert main(["run", "objectives", "--record", "--out", str(tmp_path)]) == 1
    assert "smoke has none worth keeping" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_record_keeps_what_this_machine_lacks(tmp_path, monkeypatch, capsys):
    from benchmarks.lab import door

    kept = Records(tmp_path / "results" / "gradient-snr.json")
    key = {"objective": "iwae", "part": "guide", "particles": [1, 2], "draws": 9, "seed": 5}
    kept.add(key, {"snr": [0.5, 0.25], "slope": -1.0})
    monkeypatch.setattr(door, "RESULTS", kept.path.parent)
    words = ["run", "gradient-snr", "--budget", "cpu", "--draws", "4", "--particles", "1", "2", "--record", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    rows = Records(kept.path).rows
    assert len(rows) == 5 and rows[0]["seed"] == 5 and rows[1]["draws"] == 4
    assert "| 0.500 | 0.250 |" in kept.path.with_suffix(".md").read_text() and "| 0.500 |" not in capsys.readouterr().out


def test_a_block_of_a_page_is_replaced_and_nothing_else(tmp_path):
    page, others = tmp_path / "page.md", "kept\n<!-- table: iwae cpu -->\n<!-- end -->\n"
    page.write_text(f"# Results\n\n<!-- table: iwae smoke -->\nold\n<!-- end -->\n\n{others}")
    new = markdown.block("iwae smoke", "new", ["a"])
    markdown.write_block(page, "iwae smoke", new)
    text = page.read_text()
    assert text == f"# Results\n\n<!-- table: iwae smoke -->\n\nnew\n\n![](figures/a.png)\n\n<!-- end -->\n\n{others}"
    markdown.write_block(page, "iwae smoke", new)
    assert page.read_text() == text
    markdown.write_block(tmp_path / "new.md", "iwae smoke", new)
    assert (tmp_path / "new.md").read_text() == new + "\n"
    page.write_text("<!-- table: iwae smoke -->")
    with pytest.raises(OptionError, match="expected the marker"):
        markdown.write_block(page, "iwae smoke", new)


def test_nothing_is_published_of_no_records(tmp_path):
    publish(ENTRIES["objectives"], Records(tmp_path / "objectives.json"))
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------ source and kills
def test_repeated_lines_are_counted():
    body = "\n".join(f"    a{i} = {i}" for i in range(6))
    text = f'"""Text."""\nimport os\n\ndef f(x):\n    """Says."""\n    # why\n{body}\n    return (\n        x\n    )\n'
    assert source.code_lines(text) == ["def f ( x ) :", *(f"a{i} = {i}" for i in range(6)), "return (", "x"]
    other = f"def g(y):\n{body}\n"
    assert source.repeated([text, other]) == (12, 16) and source.repeated([text]) == (0, 9)
    renamed = other.replace("a", "b")
    assert source.repeated([text, renamed])[0] == 0 and source.repeated([text, renamed], by_shape=True)[0] == 14


def test_docstrings_are_found_through_imports():
    found = source.docstrings(ROOT)
    assert any(name == "fit" and text for (_, name), text in found.items()) and len(found) > 50


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, capsys):
    assert main(["run", "source", "--path", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "expected a checkout" in capsys.readouterr().err


def test_states_that_differ_are_told():
    import torch

    one = {"a": [torch.zeros(2), 1], "b": (1, {"seconds": 3}), "c": None}
    other = {"a": [torch.zeros(2), 1], "b": (1, {"seconds": 4}), "c": None}
    assert list(kills.differences(one, other)) == []
    other["a"][0] = torch.tensor([0.0, 1e-9])
    other["b"] = (1, {"second": 4})
    assert list(kills.differences(one, other)) == [".a[0]", ".b[1]"]
