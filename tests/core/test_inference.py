"""The one context in which a pair is used: what it sets, and that it leaves nothing behind."""

import pytest
import torch
from torch import nn

from pyrovae.core.inference import inference, private_draws, private_random
from pyrovae.core.pair import Pair
from pyrovae.errors import OptionError


def pair():
    return Pair(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), nn.Linear(2, 2).eval())


def test_evaluation_mode_no_gradient_and_back():
    used = pair()
    with inference(used) as device:
        assert device.type == "cpu" and not torch.is_grad_enabled()
        assert not any(module.training for module in [*used.model.modules(), *used.guide.modules()])
    assert torch.is_grad_enabled() and not used.guide.training
    assert all(module.training for module in used.model.modules())


def test_it_goes_back_after_an_error():
    used = pair()
    with pytest.raises(RuntimeError), inference(used, seed=3):
        raise RuntimeError
    assert used.model.training and torch.is_grad_enabled()


def test_a_seed_gives_its_own_numbers_and_none_the_callers():
    used = pair()
    torch.manual_seed(0)
    callers = torch.rand(3)
    torch.manual_seed(0)
    with inference(used, seed=7):
        own = torch.rand(3)
    assert torch.equal(torch.rand(3), callers)
    with private_draws(7):
        assert torch.equal(torch.rand(3), own)
    with private_random(7):  # data that were simulated by the same seed share no noise with the draws
        assert not torch.isclose(torch.rand(3), own).any()
    torch.manual_seed(0)
    with inference(used):
        assert torch.equal(torch.rand(3), callers)


def test_networks_compute_in_the_asked_precision():
    used = pair()
    x = torch.full((1, 2), 1.001)
    with inference(used) as _:
        exact = used.model(x)
    with inference(used, "bf16"):
        rough = used.model(x)
    assert rough.dtype is torch.float32 and not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05)
    with pytest.raises(OptionError, match="precision is 'half'"), inference(used, "half"):
        pass
