"""Pictures: the right things in them, files whole, nothing left in pyplot."""

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from pyrovae import plots
from pyrovae.errors import OptionError, RunError

HISTORY = [
    {"epoch": 1, "train": -120.0, "valid": float("nan"), "lr": 1e-3},
    {"epoch": 2, "train": -110.0, "valid": -112.0, "lr": 1e-3},
    {"epoch": 3, "train": -105.0, "lr": 1e-3},
]


def decode(figure):
    image = Image.open(io.BytesIO(plots.png(figure)))
    image.load()
    return image


def test_learning_curves_leave_out_what_is_missing():
    axes = plots.learning_curves(HISTORY).axes[0]
    train, valid = axes.lines
    assert train.get_xydata().tolist() == [[1, -120], [2, -110], [3, -105]]
    assert valid.get_xydata().tolist() == [[2, -112]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "bound in nats per datum")
    with pytest.raises(OptionError, match="no finite value"):
        plots.learning_curves([{"epoch": 1, "train": None}])


@pytest.mark.parametrize("shape", [(8, 6), (1, 8, 6), (3, 8, 6)])
def test_image_grid_shows_pixels_as_they_are(shape):
    images = torch.rand(5, *shape) * 3 - 1
    canvas = np.asarray(plots.image_grid(images, columns=3).axes[0].images[0].get_array())
    assert canvas.shape[:2] == (2 * 9 + 1, 3 * 7 + 1)
    expected = images[4].clamp(0, 1)
    expected = expected.movedim(0, -1).squeeze(-1) if len(shape) == 3 else expected
    assert np.allclose(canvas[10:18, 8:14], expected)
    assert (canvas[10:18, 15:21] == 1).all()  # an empty place is paper


@pytest.mark.parametrize("shape", [(7,), (5, 4, 4, 2), (1,), (2, 2, 3, 3)])
def test_other_data_are_curves(shape):
    figure = plots.image_grid(torch.randn(4, *shape), titles=list("abcd"))
    assert len(figure.axes[0].collections[0].get_segments()) == 4
    assert [text.get_text() for text in figure.axes[0].texts] == list("abcd")
    decode(figure)


def test_range_of_real_images():
    images = torch.tensor([[[-2.0, 0.0], [2.0, 9.0]]])
    canvas = np.asarray(plots.image_grid(images, vmin=-2.0, vmax=2.0).axes[0].images[0].get_array())
    assert np.allclose(canvas[1:3, 1:3], [[0, 0.5], [1, 1]])


def test_reconstructions_come_in_pairs_of_rows():
    x = torch.zeros(5, 4, 4)
    figure = plots.reconstructions(x, x + 0.5, columns=3)
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["x", "E[x | z]"] * 2
    assert (canvas[1:5, 1:5] == 0).all() and (canvas[6:10, 1:5] == 0.5).all()
    assert (canvas[11:15, 11:15] == 1).all()
    with pytest.raises(OptionError, match="equal shapes"):
        plots.reconstructions(x, x[:3])


def test_traversals_name_dimensions_and_values():
    axes = plots.traversals(torch.rand(2, 11, 4, 4), dims=[3, 7]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z[3]", "z[7]"]
    assert [label.get_text() for label in axes.get_xticklabels()][::5] == ["-3", "0", "3"]
    with pytest.raises(OptionError, match="4 values"):
        plots.traversals(torch.rand(2, 11, 4, 4), values=[0.0] * 4)


def test_manifold_has_the_first_dimension_to_the_right_and_the_second_upwards():
    pictures = torch.zeros(3, 3, 1, 1)
    pictures[2, 0] = 0.5  # largest z[0], smallest z[1]: lower right
    canvas = np.asarray(plots.manifold(pictures).axes[0].images[0].get_array())
    assert canvas.shape == (3, 3) and canvas[2, 2] == 0.5
    decode(plots.manifold(torch.randn(3, 3, 6)))


def test_latent_scatter_by_class_and_by_value():
    means = torch.randn(60, 2)
    figure = plots.latent_scatter(means, torch.arange(60) % 3)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["0", "1", "2"]
    assert len({tuple(c.get_facecolor()[0]) for c in figure.axes[0].collections}) == 3
    assert len(plots.latent_scatter(means, torch.rand(60)).axes) == 2
    decode(plots.latent_scatter(torch.randn(60, 1)))
    with pytest.raises(OptionError, match=r"\(N, d\)"):
        plots.latent_scatter(torch.zeros(60))


def test_latent_scatter_is_by_principal_components():
    points = torch.randn(4000, 3) * torch.tensor([1.0, 3.0, 2.0])
    axes = plots.latent_scatter(points).axes[0]
    drawn = torch.as_tensor(np.asarray(axes.collections[0].get_offsets()))
    assert torch.allclose(drawn.std(0), torch.tensor([3.0, 2.0], dtype=drawn.dtype), rtol=0.05)
    share = float(axes.get_xlabel().split("(")[1].split("%")[0])
    assert abs(share - 900 / 14) < 4


def test_posterior_histograms_and_kl_bars():
    figure = plots.posterior_histograms(torch.randn(100, 4), torch.rand(100, 4))
    assert [axes.get_xlabel() for axes in figure.axes] == ["posterior mean", "posterior scale"]
    axes = plots.kl_bars(torch.tensor([0.0, 2.0, 1.0]), torch.tensor([False, True, True])).axes[0]
    assert [round(bar.get_height(), 3) for bar in axes.patches] == [2, 1, 0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "0"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["2 active", "1 inactive"]


def test_save_writes_whole_or_not_at_all(tmp_path, monkeypatch):
    figure = plots.learning_curves(HISTORY)
    path = plots.save(figure, tmp_path / "curve.png")
    with Image.open(path) as image:
        assert image.size == (round(5.2 * plots.DPI), round(3.4 * plots.DPI))
    before = path.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
        with pytest.raises(RunError, match="disk full"):
            plots.save(plots.image_grid(torch.rand(2, 4, 4)), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["curve.png"]
    with pytest.raises(RunError, match="does not exist"):
        plots.save(figure, tmp_path / "none" / "curve.png")
    assert not (tmp_path / "none").exists()


def test_pyplot_is_not_touched():
    plots.png(plots.image_grid(torch.rand(2, 4, 4)))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_reconstructions_of_counts_are_pictured():
    x = torch.randint(0, 9, (5, 4, 4))
    assert decode(plots.reconstructions(x, x.float() + 0.5, columns=3)).size[0] > 100


def test_groups_of_images_stand_side_by_side():
    groups = torch.rand(4, 5, 3, 2)
    figure = plots.image_grid(groups, 2)
    shown = figure.axes[0].images[0].get_array()
    pad = 2  # a twelfth of 14, rounded up
    for row, column, i in ((0, 0, 0), (1, 1, 3)):
        top, left = pad + row * (3 + pad), pad + column * (14 + pad)
        for j in range(5):
            tile = shown[top : top + 3, left + 3 * j : left + 3 * j + 2]
            torch.testing.assert_close(torch.tensor(tile), groups[i, j])
    coloured = plots.image_grid(torch.rand(2, 4, 3, 6, 6), 1).axes[0].images[0].get_array()
    assert coloured.shape[-1] == 3
