"""One kind of table for everything that has a name: one message for an unknown name, and one for an unknown option."""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint

import pytest
import torch

import pyrovae as pv
from pyrovae import registry
from pyrovae.data.named import NAMED
from pyrovae.distributions.flows import FLOWS
from pyrovae.distributions.likelihoods import LIKELIHOODS
from pyrovae.errors import OptionError, UnusedOptionError
from pyrovae.evidence import METHODS
from pyrovae.nets import ACTIVATIONS
from pyrovae.pairs.catalogue import CATALOGUE
from pyrovae.parts import POSTERIORS
from pyrovae.registry import Registry

TABLES = [CATALOGUE, pv.data.TRANSFORMS, LIKELIHOODS, FLOWS, METHODS, POSTERIORS]


@pytest.mark.parametrize("table", [*TABLES, NAMED, ACTIVATIONS], ids=lambda table: table.kind)
def test_an_unknown_name_has_one_message(table):
    name = next(iter(table))
    with pytest.raises(OptionError, match=f"^no {table.kind} is called '{name}x'; did you mean '[a-z0-9-]+'. Known: "):
        table[f"{name}x"]
    assert name in table and f"{name}x" not in table and table.get(f"{name}x") is None and len(table) == len(list(table))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.kind)
def test_an_unknown_option_has_one_message(table):
    for name in table:
        known = table.options(name)
        assert all(p.kind != inspect.Parameter.VAR_KEYWORD for p in known.values()), name
        option = f"{max(known, key=len, default='option')}x"
        with pytest.raises(OptionError, match=f"^no option of {table.kind} {name} is called '{option}'"):
            table.build(name, *[None] * table.given, **{option: 1})


def test_options_come_from_a_text_a_mapping_or_arguments():
    for chosen in ("sylvester:num_flows=2,num_reflections=3", {"name": "sylvester", "num_flows": 2, "num_reflections": 3}):
        flow = FLOWS.build(chosen, 5)
        assert flow.num_reflections == 3 and len(flow.transforms(torch.zeros(flow.num_features))) == 2
    assert FLOWS.build("planar:num_flows=2", 5, num_flows=3).own.shape[0] == 3


def test_of_a_shared_list_an_entry_takes_its_own_and_others_are_refused_unless_they_change_nothing():
    defaults = {"num_flows": 4, "bins": 8}
    assert FLOWS.own("planar", {"num_flows": 2, "bins": 8}, defaults) == {"num_flows": 2}
    assert FLOWS.own("spline", {"num_flows": 2, "bins": 9}, defaults) == {"num_flows": 2, "bins": 9}
    with pytest.raises(UnusedOptionError, match="flow 'planar' has no option 'bins', which is 9; leave it out") as refused:
        FLOWS.own("planar", {"num_flows": 2, "bins": 9}, defaults)
    assert refused.value.option == "bins"


def test_entries_of_other_packages_are_found_and_a_broken_one_is_named(monkeypatch, tmp_path):
    table = Registry("thing", {"own": int}, group="pyrovae.things")
    (tmp_path / "silent_things.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint("gone", "no_such_things", table.group), EntryPoint("silent", "silent_things", table.group)]
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: points)
    assert list(table) == ["own", "gone", "silent"] and "gone" in table
    with pytest.raises(OptionError, match=r"thing 'gone' \(no_such_things\) does not load: ModuleNotFoundError"):
        table["gone"]
    with pytest.raises(OptionError, match="silent_things is announced as thing 'silent', and enters none of that name"):
        table["silent"]
