"""Both splits' files get their names together, or neither does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from image_folders import converted

from benchmark.data.hdf5.publish import Writers
from benchmark.errors import UserError


def test_a_name_that_the_system_refuses_leaves_neither_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def refuse_test(self: Path, target: Path) -> Path:
        if target.name == "x-test.h5":
            raise OSError(13, "no")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse_test)
    with pytest.raises(UserError, match=r"x-test\.h5: cannot be written \(Permission denied\)"):
        converted(folder, tmp_path / "x.h5")
    assert [child.name for child in tmp_path.iterdir()] == ["images"]


def test_remains_of_killed_conversions_are_removed_and_finished_files_are_kept(folder: Path, tmp_path: Path) -> None:
    remains = [tmp_path / f".x-{split}.h5.99999999.tmp" for split in ("train", "test")]
    for stale in remains:
        stale.write_bytes(b"half")
    assert converted(folder, tmp_path / "x.h5") == ["removed what an interrupted conversion left; starting again"]
    assert not any(stale.exists() for stale in remains)
    busy = tmp_path / f".y-train.h5.{os.getppid()}.tmp"
    busy.write_bytes(b"half")
    with pytest.raises(UserError, match="is converting to it"):
        converted(folder, tmp_path / "y.h5")
    assert busy.exists()
    busy.unlink()
    before = (tmp_path / "x-train.h5").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        converted(folder, tmp_path / "x.h5")
    assert (tmp_path / "x-train.h5").read_bytes() == before
    with pytest.raises(UserError, match=r"has to end in \.h5"):
        converted(folder, tmp_path / "x.zip")


def test_one_file_without_the_other_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x-test.h5").touch()
    with pytest.raises(UserError, match=r"x-test\.h5: exists without x-train\.h5, .*remove it and convert again"):
        Writers(tmp_path / "x.h5", {}, print)
