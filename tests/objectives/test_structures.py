"""Pairs of many structures: value and gradient of every objective against sums over a grid."""

from __future__ import annotations

import pytest
from structures import BY_NAME

REPARAMETERIZED = {"elbo": 1, "meanfield": 1, "stl": 1, "iwae": 2, "dreg": 2}
SAMPLED = {"elbo": 1, "vimco": 2}
DISCRETE = {**SAMPLED, "enum": 1}


@pytest.mark.parametrize("name", BY_NAME)
def test_objectives_and_their_gradients(name):
    structure = BY_NAME[name]
    has_paths = structure.guide(structure.x, structure.phi).has_rsample
    for objective, num_particles in (DISCRETE if structure.discrete else REPARAMETERIZED if has_paths else SAMPLED).items():
        value, gradient = structure.objective(objective, num_particles, repeats=500)
        assert value < 4 and gradient < 4, objective
