"""Piano rolls: keys upwards, steps to the right, grey beyond the lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyrovae import plots
from pyrovae.errors import OptionError


def test_a_roll_shows_each_value_at_its_step_and_key():
    x = torch.bernoulli(torch.full((2, 7, 5), 0.4))
    figure = plots.piano_rolls(x, torch.tensor([7, 3]), given=2, titles=["a", "b"])
    for i, axes in enumerate(figure.axes):
        shown = axes.images[0].get_array()
        assert axes.images[0].origin == "lower" and axes.get_title() == "ab"[i]
        length = (7, 3)[i]
        assert np.array_equal(np.ma.filled(shown, np.nan)[:, :length], x[i, :length].T.numpy())
        assert np.isnan(np.ma.filled(shown, np.nan)[:, length:]).all()
        assert axes.lines[0].get_xdata()[0] == 1.5


def test_what_is_no_sequence_is_refused():
    with pytest.raises(OptionError, match=r"expected \(n, T, D\)"):
        plots.piano_rolls(torch.zeros(3, 4))
    with pytest.raises(OptionError, match="1 titles came for 2 sequences"):
        plots.piano_rolls(torch.zeros(2, 3, 4), titles=["a"])
