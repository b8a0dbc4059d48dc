import errno
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.files import cannot_be_written, reading, write_atomically, writing


def test_a_write_error_names_path_reason_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError) as caught, writing(tmp_path, "choose another --out"):
        write_atomically(tmp_path / "file" / "inside", "")
    assert str(caught.value) == f"{tmp_path}: cannot be written (File exists); choose another --out"


def test_the_reason_is_the_systems_even_where_a_library_writes_a_text_of_its_own() -> None:
    library = OSError(errno.ENOSPC, "unable to write (file = 7,\nerrno = 28)")
    assert str(cannot_be_written("a.h5", library)) == "a.h5: cannot be written (No space left on device)"
    assert str(cannot_be_written("a.h5", OSError("no lock\nat all"))) == "a.h5: cannot be written (no lock)"


def test_other_errors_pass_through_unchanged() -> None:
    with pytest.raises(UserError, match=r"^somebody else's$"), writing("here"):
        raise UserError("somebody else's")


def test_a_read_error_names_path_and_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught, reading(tmp_path / "none"):
        (tmp_path / "none").read_bytes()
    assert str(caught.value) == f"{tmp_path / 'none'}: cannot be read (No such file or directory)"


def test_a_failed_write_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "record.json", "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "record.json", "new")
    assert (tmp_path / "record.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
