"""Tables of cells: records to rows, rows to Markdown and figures."""

from __future__ import annotations

import copy
import math
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.lab import figures, published, tabled
from benchmarks.lab.cells import Budget
from benchmarks.lab.records import Records
from benchmarks.lab.runner import How, folder_of, run_cell
from benchmarks.tables import flows, iwae, iwae_swap, rainforth, vampprior

ROOT = Path(__file__).parents[2]
SMOKE = Budget("smoke")
TABLES = {
    table.name: table for table in (iwae.IWAE, iwae_swap.IWAE_SWAP, rainforth.RAINFORTH, vampprior.VAMPPRIOR, flows.FLOWS)
}


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """A table of three cells on two binarizations, one not finished, with published figures; a folder of its results."""
    cells = [replace(each, published=None) for each in TABLES["iwae"].cells(SMOKE)]
    figure = iwae.cell(Budget("paper"), "dyn", 1, "VAE", 1).published
    cells = [replace(cells[0], published=figure), cells[10], replace(cells[2], published=figure)]
    how = How(tmp_path_factory.mktemp("some"), "a test", progress=False)
    for seed in (0, 1):
        run_cell(cells[0], seed, how)
    run_cell(cells[1], 0, how)
    return replace(TABLES["iwae"], cells=lambda budget: cells), how.out


@pytest.fixture
def records(some, tmp_path, collected):
    """The records of its results."""
    table, out = some
    records = collected(table, table.cells(SMOKE), out, Records(tmp_path / "iwae.json"))
    records.items = copy.deepcopy(records.items)
    return records


def text_of(table, records):
    """The one table's Markdown."""
    (text,) = tabled.tables(table, records.rows).values()
    return text


def cells_of(line):
    return [part.strip() for part in line.strip("|").split("|")]


def test_markdown_and_records_agree(some, records):
    text = text_of(some[0], records)
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 2 and "binarized anew" in text and "binarized once" in text  # never in one table
    assert "Cells that are not finished: 1 of 3." in text
    rows = published.rows_of(records.rows)
    for table, row in zip(tables, rows, strict=True):
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
    result = rows[0]["results"][0]
    for told in (result["date"], result["machine"]["processor"], result["versions"]["torch"], "`a test`"):
        assert told in text


def test_rows_of_several_seeds_are_held_against_the_first_of_their_data_set(some, records):
    assert "first row" not in text_of(some[0], records)
    for item in copy.deepcopy(records.items[:2]):  # of the first cell, as if of the third
        item["key"]["fingerprint"] = item["found"]["fingerprint"] = some[0].cells(SMOKE)[2].fingerprint
        item["found"] |= {"label": "1 layer, IWAE, k = 5", "log_p": item["found"]["log_p"] + 1 + item["key"]["seed"]}
        records.put(item)
    first, other, row = published.rows_of(records.rows)
    assert first["difference"] is None and other["difference"] is None  # another data set, one seed
    a, b = ([result["log_p"] for result in each["results"]] for each in (row, first))
    assert row["difference"]["mean"] == pytest.approx((a[0] + a[1] - b[0] - b[1]) / 2)
    assert row["difference"]["stderr"] == pytest.approx(0.5 * math.hypot(a[0] - a[1], b[0] - b[1]))
    assert 0 < row["difference"]["p"] < 1
    text = text_of(some[0], records)
    heads, _, line, last = next(part for part in text.split("\n\n") if part.startswith("|")).splitlines()
    place = cells_of(heads).index("- first row")
    assert cells_of(line)[place] == "-" and cells_of(last)[place].startswith(f"{row['difference']['mean']:+.2f} +- ")


def test_cells_that_were_killed_are_told(some, records):
    assert "Stopped in the middle" not in text_of(some[0], records)
    records.items[2]["found"]["starts"] = 2
    label = records.items[2]["found"]["label"]
    assert f"continued from the last checkpoint: {label} (digits)." in text_of(some[0], records)


def test_results_of_another_machine_are_kept_unless_their_seed_was_run_here(some, records, tmp_path, collected):
    table, cells = some[0], some[0].cells(SMOKE)
    here = tmp_path / "here"
    shutil.copytree(folder_of(cells[0], 0, some[1]), folder_of(cells[0], 0, here))
    ours = records.items[0]["found"]["log_p"]
    for item in records.items:
        item["found"]["log_p"] = -1.0
    first, other = published.rows_of(collected(table, cells, here, records).rows)
    assert [result["log_p"] for result in first["results"]] == [ours, -1.0]
    assert first["summary"]["log_p"] == (ours - 1) / 2 and other["results"][0]["log_p"] == -1.0


def test_records_of_settings_that_the_table_no_longer_has_are_left_out_and_told(some, records, capsys):
    table, cells = some[0], some[0].cells(SMOKE)
    changed = replace(table, cells=lambda budget: [replace(cells[0], samples=20), *cells[1:]])
    kept = tabled.arrange(changed, records.items)
    assert [item["key"]["seed"] for item in kept] == [0] and kept[0]["key"]["fingerprint"] == cells[1].fingerprint
    assert "left out 2 records of settings that the table no longer has" in capsys.readouterr().out
    mine = copy.deepcopy(records.items[0])
    mine["key"]["fingerprint"] = mine["found"]["fingerprint"] = "0123456789ab"
    mine["found"]["label"] = "mine.py:build, ELBO"
    mine["found"]["settings"]["pair_sha256"] = "of the file"
    assert tabled.arrange(changed, [mine, *records.items])[-1] == mine  # a pair of the user's own stays
    again = copy.deepcopy(mine)
    again["key"]["fingerprint"] = again["found"]["fingerprint"] = "ba9876543210"
    assert tabled.arrange(changed, [mine, again]) == [again]  # of the file as it is now


def test_curves_are_drawn_from_the_records(records):
    rows = published.rows_of(records.rows)
    dynamic, fixed = figures.curves(rows).axes
    assert (dynamic.get_title(), fixed.get_title()) == ("digits, dynamic", "digits, fixed")
    for axes, row in zip((dynamic, fixed), rows, strict=True):
        curve = row["results"][0]["curve"]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [row["label"]]
        assert curve["epoch"] == [1, 2] and axes.lines[0].get_ydata().tolist() == curve["train"]
        assert curve["train"][-1] == row["results"][0]["train_bound"]
    result = rows[0]["results"][0]
    result["before"] = {"epochs": 10, "wall": 1.0}
    result["curve"]["valid"] = [None, None]
    axes = figures.curves(rows).axes[0]
    assert axes.lines[0].get_xdata().tolist() == [11, 12] and len(axes.lines) == 1
    assert "dashed" in dynamic.get_ylabel() and "dashed" not in axes.get_ylabel()
    result["before"]["epochs"], result["curve"]["epoch"] = 0, [1, 10]
    assert (axes.get_xscale(), figures.curves(rows).axes[0].get_xscale()) == ("linear", "log")


def test_recorded_results_are_of_cells_that_the_tables_have():
    for name, table in TABLES.items():
        items = Records(ROOT / "benchmarks" / "results" / f"{name}.json").items
        assert items and tabled.arrange(table, items) == items
        for item in items:
            cell = next(
                c for c in table.cells(Budget.of(item["key"]["budget"])) if c.fingerprint == item["key"]["fingerprint"]
            )
            assert item["found"]["label"] == cell.label
            assert item["found"]["published"] == (None if cell.published is None else asdict(cell.published))
