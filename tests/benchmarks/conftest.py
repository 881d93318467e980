"""Benchmarks are imported from the repository's root."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))


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
