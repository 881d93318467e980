"""Sets of known factors: the figures of published dSprites frames, the two ways to a row, what a set of one's own needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pyrovae.data import Factors, Rooms, Sprites, load
from pyrovae.data.factors import Packed
from pyrovae.data.named import NAMED
from pyrovae.errors import DataError, PyrovaeError

DSPRITES = Sprites()
SMALL = Sprites(orientations=5, positions=3, size=32)


def one(**values):
    rows = np.zeros((1, 5), int)
    for name, value in values.items():
        rows[0, DSPRITES.names.index(name)] = value
    return DSPRITES.images(rows)[0]


@pytest.mark.parametrize(
    ("shape", "areas", "within"),
    [
        (0, [100, 144, 196, 256, 324, 400], 0),
        (1, [76, 104, 144, 184, 228, 288], 4),
        (2, [58, 84, 108, 140, 182, 222], 4),
    ],
    ids=["square", "ellipse", "heart"],
)
def test_areas_are_those_of_published_frames(shape, areas, within):
    found = [int(one(shape=shape, scale=scale).sum()) for scale in range(6)]
    assert np.abs(np.subtract(found, areas)).max() <= within


def test_the_heart_stands_where_it_is_published():
    rows, columns = np.nonzero(one(shape=2, scale=5))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (6, 25, 7, 23)
    assert rows[np.abs(columns - 15.5) < 1].max() == 23  # its tip points down


def test_turns_are_counter_clockwise_and_the_last_is_the_first():
    for shape in range(3):
        assert np.array_equal(one(shape=shape, orientation=0, posX=5), one(shape=shape, orientation=39, posX=5))
    whole = Sprites(orientations=4, positions=2, duplicate_angle=False)
    heart = whole.images(np.array([[2, 5, k, 0, 0] for k in range(4)]))[:, :32, :32]
    assert [int((np.rot90(heart[0], k) != heart[k]).sum()) for k in range(4)] == [0, 0, 0, 0]


def test_positions_move_the_sprite_and_it_never_meets_the_border():
    corners = np.array([[s, 5, k, x, y] for s in range(3) for k in range(0, 40, 3) for x in (0, 31) for y in (0, 31)])
    drawn = DSPRITES.images(corners)
    assert not drawn[:, [0, -1]].any() and not drawn[:, :, [0, -1]].any()
    mean = [np.argwhere(one(scale=5, posX=x, posY=y)).mean(0) for x, y in ((0, 0), (31, 0), (0, 31))]
    assert np.array_equal(mean[1] - mean[0], [0, 32]) and np.array_equal(mean[2] - mean[0], [32, 0])


@pytest.mark.parametrize(("name", "rows"), [("xys", 1536), ("xys-uneven", 1536)])
def test_small_sets_have_no_image_twice(name, rows):
    data = load(name)
    x = torch.cat([part["x"] for part in data.parts().values()])
    assert len(x) == len(torch.unique(x.flatten(1), dim=0)) == rows


def test_packed_rows_are_unpacked_alike_from_bits_that_lie_on_a_device():
    source = Sprites(orientations=3, positions=2, size=21)  # 441 bits: the last byte is not full
    packed, rows = Packed.of(source), torch.tensor([5, 0, 29])
    moved = replace(packed, bits=torch.as_tensor(packed.bits))
    assert torch.equal(moved.take(rows), packed.take(rows)) and moved.take(rows).dtype == torch.uint8
    assert torch.equal(moved.subset(rows).take(torch.tensor([2])), packed.take(rows[2:]))
    assert isinstance(moved.to(torch.device("cpu")).bits, np.ndarray)


def test_rows_are_drawn_alike_one_by_one_packed_and_in_parts():
    drawn, packed = load(SMALL.columns(), kinds=SMALL.kinds()), load(SMALL.columns(packed=True), kinds=SMALL.kinds())
    assert len(SMALL) == 3 * 6 * 5 * 3 * 3 and drawn.spec.keys == packed.spec.keys
    for part in ("train", "valid", "test"):
        left, right = (data.parts()[part].subset(slice(0, 40, 3)) for data in (drawn, packed))
        assert all(torch.equal(left[key], right[key]) for key in ("x", *SMALL.names))
        values = np.stack([left[name].numpy() for name in SMALL.names], 1)
        assert np.array_equal(left["x"].numpy(), SMALL.images(values))


@pytest.mark.parametrize("name", ["dsprites", "s32", "rooms"])
def test_large_sets_know_their_factors(name):
    source = {"dsprites": Sprites(), "s32": Sprites(orientations=20, positions=16, size=32), "rooms": Rooms()}[name]
    assert set(NAMED[name].kinds) == set(source.names)
    assert NAMED[name].kinds["shape"].startswith("category") and NAMED[name].kinds["scale"].startswith("ordinal")
    if name == "dsprites":  # lazily, so that it is quick
        batch = load(name).test[[0, 9_999]]
        assert batch["x"].shape == (2, 64, 64) and batch["posX"].dtype == torch.int64


def test_every_factor_of_rooms_changes_the_picture_at_every_value():
    rooms, rng = Rooms(), np.random.default_rng(0)
    for place, size in enumerate(rooms.sizes):
        for base in rooms.draw(3, rng):
            values = np.repeat(base[None], size, 0)
            values[:, place] = np.arange(size)
            x = rooms.images(values)
            assert (x[1:] != x[:-1]).any(1).sum((1, 2)).min() > 20, rooms.names[place]


def test_index_factors_and_draws():
    assert DSPRITES.index(np.eye(5, dtype=int)).tolist() == [245_760, 40_960, 1_024, 32, 1]
    rows = np.array([0, 1, 737_279, 123_456])
    assert np.array_equal(DSPRITES.index(DSPRITES.factors(rows)), rows)
    drawn = DSPRITES.draw(400, np.random.default_rng(0), {"posX": 7})
    assert set(drawn[:, 3]) == {7} and set(drawn[:, 0]) == {0, 1, 2} and drawn[:, 4].max() == 31
    for bad in (
        lambda: DSPRITES.index(np.array([[3, 0, 0, 0, 0]])),
        lambda: DSPRITES.index(np.zeros((2, 4), int)),
        lambda: DSPRITES.factors(np.array([737_280])),
        lambda: DSPRITES.draw(1, np.random.default_rng(0), {"posX": 32}),
        lambda: DSPRITES.draw(1, np.random.default_rng(0), {"posZ": 1}),
    ):
        with pytest.raises(PyrovaeError):
            bad()


def test_a_set_of_ones_own_is_a_data_set():
    class Bars(Factors):
        names, sizes = ("row", "grey"), (6, 4)

        def images(self, factors):
            bars = (np.arange(6) == factors[:, :1]) * (80 * factors[:, 1:])
            return np.repeat(bars[:, :, None], 3, 2).astype(np.uint8)

    data = load(Bars().columns(), kinds=Bars().kinds())
    assert data.spec.kind == "levels" and data.spec.keys["grey"].size == 4 and len(data.train) == 20
    with pytest.raises(DataError, match="0 and 1 alone"):
        Bars().columns(packed=True)
