"""Smoke runs of benchmarks."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def out(tmp_path_factory):
    """One folder for all smoke runs, so that entries share the cells that they have in common."""
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture
def smoke(out):
    """Run an entry with the budget smoke; its records."""
    from benchmarks.lab.door import main
    from benchmarks.lab.records import Records

    def run(name, *words, folder=out):
        assert main(["run", name, "--budget", "smoke", "--out", str(folder), "--quiet", *words]) == 0
        return Records(folder / "smoke" / f"{name}.json").rows

    return run


@pytest.fixture(scope="session")
def collected():
    """The records that a run of some cells of a table collects in a folder."""
    from benchmarks.lab import tabled
    from benchmarks.lab.cells import Budget
    from benchmarks.lab.entry import Job
    from benchmarks.lab.records import Records

    def collect(table, cells, out, records=None):
        records = records or Records(out / f"{table.name}.json")
        tabled.collect(table, Job(None, records, "a test", out), Budget("smoke"), cells)
        return records

    return collect
