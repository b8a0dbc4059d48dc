"""Index tensors, compared with ones written by hand for a small grid."""

from __future__ import annotations

import pytest
import torch

from cnn_jepa import Masks
from cnn_jepa.blocks.layout import Layout, Need, carry, context_on_host, significant_unit
from cnn_jepa.program import Reach

SAME = Reach((3, 3), 1, (1, 1), (1, 1))


def _layout() -> Layout:
    # Image 0: cells (0, 0), (0, 1), (1, 1) are blocks 0, 1, 2; image 1: cell (1, 0) is block 3.
    return Layout(torch.tensor([[[1, 1], [0, 1]], [[0, 0], [1, 0]]], dtype=torch.bool))


def test_blocks_around_each_visible_one() -> None:
    layout = _layout()
    assert len(layout) == 4 and layout.cells.tolist() == [0, 1, 3, 6]
    around = layout.blocks_around(1)  # -1 hidden, -2 outside the image
    assert around[0].tolist() == [[-2, -2, -2], [-2, 0, 1], [-2, -1, 2]]
    assert around[2].tolist() == [[0, 1, -2], [-1, 2, -2], [-2, -2, -2]]
    assert around[3].tolist() == [[-2, -1, -1], [-2, 3, -1], [-2, -2, -2]]


def test_windows_are_rows_of_visible_neighbours() -> None:
    layout = _layout()
    # Blocks of side 2 have 4 rows each; 16 is a hidden position, 17 a position outside the image.
    assert layout.windows(2, SAME)[1].tolist() == [
        [17, 17, 17, 17], [1, 4, 5, 17], [3, 6, 7, 17], [16, 8, 9, 17]
    ]  # fmt: skip
    assert layout.windows(2, SAME) is layout.windows(2, SAME)


def test_the_halo_consists_of_visible_positions_outside_the_block() -> None:
    flat, halo, origin = _layout().get(Need("windows", 2, SAME))
    assert len(flat) == 4 * 16
    in_second = (halo // 16 == 1).nonzero().flatten()
    assert (halo[in_second] % 16).tolist() == [4, 8, 13, 14]
    assert origin[in_second].tolist() == [1, 3, 8, 9]


def test_columns_and_positions() -> None:
    layout = _layout()
    (columns,) = layout.get(Need("columns", 1, SAME))
    assert columns.view(4, 9)[2].tolist() == [0, 1, 5, 4, 2, 5, 5, 5, 5]
    assert layout.positions(1).tolist() == [0, 1, 3, 6]
    assert layout.positions(2)[4:8].tolist() == [2, 3, 6, 7]
    read, made = layout.get(Need("dense", 2, Reach((2, 2), 2, (0, 0), (1, 1))))
    assert torch.equal(read, layout.positions(2)) and torch.equal(made, layout.positions(1))


def test_pairs_of_a_tap_connect_read_and_written_rows() -> None:
    bounds, read, made, *_ = _layout().get(Need("taps", 1, SAME))
    starts, ends = bounds.tolist()
    pairs = [
        list(zip(read[start:end].tolist(), made[start:end].tolist(), strict=True))
        for start, end in zip(starts, ends, strict=True)
    ]
    # Taps in raster order, the fifth is the centre; the last column of the bounds is the end of all.
    joined = {0: [(0, 2)], 1: [(1, 2)], 3: [(0, 1)], 4: [(0, 0), (1, 1), (2, 2), (3, 3)],
              5: [(1, 0)], 7: [(2, 1)], 8: [(2, 0)]}  # fmt: skip
    assert pairs == [joined.get(tap, []) for tap in range(10)]


@pytest.mark.parametrize(("count", "unit"), [(0, 1), (31, 1), (32, 2), (63, 2), (64, 4), (1000, 32)])
def test_numbers_of_five_significant_bits(count: int, unit: int) -> None:
    assert significant_unit(count) == unit


def test_vectors_are_moved_together_and_tables_stay() -> None:
    vectors, table = [torch.arange(3), torch.arange(2)], torch.zeros(2, 2)
    assert carry([*vectors, table], torch.device("cpu"))[2] is table
    moved = carry([vectors[0], table, vectors[1]], torch.device("meta"))
    assert [tensor.device.type for tensor in moved] == ["meta", "cpu", "meta"]
    assert [len(tensor) for tensor in moved] == [3, 2, 2]


def test_the_mask_on_the_cpu_is_used_if_there_is_one() -> None:
    context = torch.ones(1, 2, 2, dtype=torch.bool)
    masks = Masks(context, (~context).unsqueeze(1))
    assert context_on_host(masks.to("meta")) is context
    assert context_on_host(context) is context


def test_readers_are_the_windows_that_read_a_row() -> None:
    layout = _layout()
    wide, even = Reach((7, 7), 2, (3, 3), (1, 1)), Reach((2, 2), 1, (0, 0), (1, 1))
    for side, reach in ((1, SAME), (2, SAME), (4, wide), (2, even)):
        flat, readers = layout.get(Need("readers", side, reach))
        rows = len(layout) * side * side
        assert torch.equal(flat, layout.get(Need("windows", side, reach))[0])
        by_row = readers.view(rows, -1)
        for row in range(rows):
            expected = (flat == row).nonzero().flatten().tolist()
            assert sorted(p for p in by_row[row].tolist() if p < len(flat)) == expected
