"""Networks pass leading axes through, for any image size."""

from __future__ import annotations

import pytest
import torch

from pyrovae import nets
from pyrovae.errors import OptionError


@pytest.mark.parametrize("shape", [(28, 28), (28, 20), (8, 8), (7, 5), (1, 1), (3, 32, 32), (1, 9, 13)])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_convolutions_fit_any_image_and_any_leading_axes(shape, layers):
    channels = [4] * layers
    encoder = nets.ConvEncoder(shape, channels, 16, 6)
    decoder = nets.ConvDecoder(3, channels, 16, shape, num_params=2)
    x, z = torch.rand(2, 5, *shape), torch.randn(2, 5, 3)
    assert encoder(x).shape == (2, 5, 6) and decoder(z).shape == (2, 5, 2, *shape)
    torch.testing.assert_close(encoder(x)[1, 3], encoder(x[1, 3].unsqueeze(0))[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoder(z)[1, 3], decoder(z[1, 3].unsqueeze(0))[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", nets.ACTIVATIONS)
def test_dense_networks(activation):
    encoder = nets.MLPEncoder((3, 4), [7, 5], 2, activation)
    decoder = nets.MLPDecoder(2, [5, 7], (3, 4), 2, activation)
    assert encoder(torch.rand(6, 3, 4)).shape == (6, 2)
    assert decoder(torch.rand(9, 6, 2)).shape == (9, 6, 2, 3, 4)


def test_bad_options():
    with pytest.raises(OptionError, match="did you mean 'relu'"):
        nets.MLP(2, [3], 1, "rellu")
    with pytest.raises(OptionError, match="need images"):
        nets.ConvEncoder((7,), [4], 16, 2)
    with pytest.raises(OptionError, match="expected 'shared'"):
        nets.FactorAnalysis(2, 3, "full")


def test_joint_mlp_is_the_mlp_of_the_concatenation():
    torch.manual_seed(0)
    net = nets.JointMLP([(2, 3), 4], [7, 5], 2)
    x, y = torch.randn(6, 2, 3, requires_grad=True), torch.randn(3, 1, 1, 4)
    together = torch.cat([x.flatten(1).expand(3, 1, 6, 6), y.expand(3, 1, 6, 4)], -1)
    plain = torch.nn.Sequential(*net)
    torch.testing.assert_close(net(x, y), plain(together))
    ours, theirs = (torch.autograd.grad(h.square().sum(), [x, *net.parameters()]) for h in (net(x, y), plain(together)))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_scales_of_loc_and_scale_stay_positive_and_grow_linearly():
    loc, scale = nets.loc_and_scale(torch.tensor([1.0, 2.0, -1e4, 1e4]))
    assert loc.tolist() == [1.0, 2.0] and scale.tolist() == pytest.approx([1e-3, 1e4 + 1e-3])


def test_gated_layers_multiply_by_a_sigmoid():
    net, h = nets.MLP(3, [5], 2, "gated"), torch.randn(4, 3)
    layer, _, last = net
    value, gate = layer(h).chunk(2, -1)
    torch.testing.assert_close(net(h), last(value * gate.sigmoid()))
    with pytest.raises(OptionError, match="no activation is called 'gated'"):
        nets.ConvEncoder((8, 8), [4], 16, 2, "gated")


def test_branched_mlp_bends_each_input_and_joins_them():
    torch.manual_seed(0)
    net = nets.BranchedMLP([(2, 3), 4], [7, 5], 2, "gated")
    x, y = torch.randn(6, 2, 3), torch.randn(3, 1, 4)
    first, second = net.branches[0](x.flatten(1)), net.branches[1](y)
    together = torch.cat([first.expand(3, 6, 7), second.expand(3, 6, 7)], -1)
    torch.testing.assert_close(net(x, y), torch.nn.Sequential(*net.joint)(together))
    decoder = nets.MLPDecoder([4, 3], [7], (2, 2), 1, branched=True)
    decoder.start_at(torch.full((1, 2, 2), 3.0))
    with torch.no_grad():
        for parameter in decoder.mlp.joint[-1].weight:
            parameter.zero_()
    assert (decoder(torch.randn(5, 4), torch.randn(5, 3)) == 3).all()
