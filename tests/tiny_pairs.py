"""Every tiny configuration of the recipes, on the digits."""

from __future__ import annotations

import functools
from dataclasses import replace

import torch

import pyrovae as pv
from pyrovae.pairs.catalogue import CATALOGUE
from pyrovae.pairs.tiny import FORMS


def rows_of(recipes):
    """Name, form of the digits and options of every tiny configuration."""
    return [(each.name, row.form, dict(row.options)) for each in recipes for row in each.tiny]


ROWS = rows_of(CATALOGUE.values())


@functools.cache
def digits(form):
    """The digits in a form, with 30 to test."""
    data = pv.data.load("digits", **FORMS[form])
    return replace(data, test=data.test.subset(torch.arange(30)))


def build(name, data, options):
    data = digits(data)
    torch.manual_seed(0)
    return pv.pairs.get(name).build(data.spec, **options), data
