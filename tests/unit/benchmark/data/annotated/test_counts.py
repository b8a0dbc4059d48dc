"""Numbers of objects, of tables, CLEVR and FSC-147."""

from __future__ import annotations

from typing import TYPE_CHECKING

import annotated_files as files
import pytest

from benchmark.data.annotated.counts import clevr, fsc147, table_of_counts
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def _table(folder: Path, text: str) -> Path:
    for number in range(3):
        files.picture(folder / f"{number}.png", number)
    path = folder / "counts.csv"
    path.write_text(text)
    return path


def test_a_table_of_paths_and_counts(tmp_path: Path) -> None:
    found = table_of_counts(_table(tmp_path, "Image,extra,Count\n0.png,x,3\n1.png,y,0\n2.png,z,12.5\n"))
    assert [(item.image.name, item.count) for item in found.train] == [("0.png", 3), ("1.png", 0), ("2.png", 12.5)]
    assert found.test is None
    split = table_of_counts(_table(tmp_path, "path;n;split\n0.png;3;train\n1.png;4;test\n2.png;5;train\n"))
    assert split.test is not None and [item.count for item in split.test] == [4]
    both = table_of_counts(_table(tmp_path, "path;n;split\n0.png;3;train\n1.png;4;val\n2.png;5;test\n"))
    assert both.test is not None and [item.count for item in both.test] == [5]
    assert both.what == "a table of counts (the 1 rows of the split val are left alone)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\n0.png,3\n",
            r"has no column of a count \(count, counts, number, n, \.\.\.\); its columns are path, label",
        ),
        ("path,count\n0.png,-1\n", r"row 2 has the count '-1'; expected a number from 0"),
        ("path,count\n0.png,many\n", r"row 2 has the count 'many'"),
        ("path,count\n0.png,nan\n", r"row 2 has the count 'nan'"),
        ("path,count,split\n0.png,1,trial\n", r"row 2 has the split 'trial'; choices: train, training, test"),
        ("path,count\n0.png\n", r"row 2 has 1 cells; expected 2"),
        ("path,count\nx.png,1\ny.png,2\n", r"none of 2 images exists, such as .*x\.png"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_by_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        table_of_counts(_table(tmp_path, text))


def test_clevrs_objects_are_counted(tmp_path: Path) -> None:
    found = clevr(files.clevr(tmp_path))
    assert found is not None and found.test is not None
    assert [item.count for item in found.train] == [3, 4, 5, 6, 7, 8]
    assert found.test[0].image.name == "CLEVR_val_000000.png" and found.test[0].image.is_file()
    (tmp_path / "scenes/CLEVR_train_scenes.json").write_text('{"scenes": [{"image_filename": "a.png"}]}')
    with pytest.raises(UserError, match="'objects' is nothing; expected a list"):
        clevr(tmp_path)


def test_fsc147s_points_are_counted_and_its_validation_split_is_left_alone(tmp_path: Path) -> None:
    found = fsc147(files.fsc147(tmp_path))
    assert found is not None and found.test is not None
    assert [item.count for item in found.train] == [10, 11, 12, 13, 14]
    assert {item.image.name[:4] for item in (*found.train, *found.test)} == {"trai", "test"}
    assert clevr(tmp_path) is None and fsc147(tmp_path / "no") is None
