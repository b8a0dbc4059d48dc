import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.files.disk import (
    cannot_be_written,
    check_writable,
    read_json,
    read_yaml,
    reading,
    temporary_path,
    write_atomically,
    writing,
)
from benchmark.files.parse import load_yaml


def test_a_write_error_names_path_reason_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError) as caught, writing(tmp_path, "choose another --out"):
        write_atomically(tmp_path / "file" / "inside", "")
    assert str(caught.value) == f"{tmp_path}: cannot be written (File exists); choose another --out"


def test_the_reason_is_the_systems_even_where_a_library_writes_a_text_of_its_own() -> None:
    library = OSError(errno.ENOSPC, "unable to write (file = 7,\nerrno = 28)")
    assert str(cannot_be_written("a.h5", library)) == "a.h5: cannot be written (No space left on device)"
    assert str(cannot_be_written("a.h5", OSError("no lock\nat all"))) == "a.h5: cannot be written (no lock)"


def test_a_folder_is_checked_without_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError) as caught:
        check_writable(tmp_path / "file" / "inside", "choose another --out")
    assert (
        str(caught.value)
        == f"{tmp_path / 'file' / 'inside'}: cannot be written (Not a directory); choose another --out"
    )
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(UserError, match=r"cannot be written \(Permission denied\)$"):
        check_writable(tmp_path / "a" / "b")


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


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: 1\nb: 2\na: 1\n", "line 3: the key 'a' appears twice, in lines 1 and 3"),
        ("- x\n- {1: x, 1.0: y}\n", "line 2: the key '1.0' appears twice, in line 2"),
        ("on: 1\ntrue: 2\n", "line 2: the key 'True' appears twice, in lines 1 and 2"),
    ],
)
def test_a_key_that_appears_twice_is_refused(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"x\.yaml, {where}; keep one"):
        read_yaml(path)


def test_a_key_may_override_one_of_a_merged_mapping() -> None:
    assert load_yaml("base: &b {x: 1, y: 2}\nmine: {<<: *b, x: 3}\n")["mine"] == {"x": 3, "y": 2}


def test_every_yaml_file_of_the_project_has_each_key_once() -> None:
    root = Path(__file__).parents[4]
    files = [path for folder in ("benchmark", "configs", "examples") for path in (root / folder).rglob("*.yaml")]
    assert len(files) > 20 and all(read_yaml(path) is not None for path in files if path.stat().st_size > 200)


def test_leftovers_of_processes_that_are_gone_are_cleared_by_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    mine = temporary_path(path)
    machine = mine.name.split(".")[-2].rpartition("-")[0]
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ours = path.with_name(f".experiment.yaml.{machine}-{gone.pid}.tmp")
    other = path.with_name(f".experiment.yaml.0badcafe-{gone.pid}.tmp")
    earlier = path.with_name(f".experiment.yaml.{gone.pid}.tmp")
    alive = path.with_name(f".experiment.yaml.{machine}-{os.getppid()}.tmp")
    for left in (ours, other, earlier, alive):
        left.write_text("half")
    folder = path.with_name(f".experiment.yaml.{machine}-{gone.pid}0.tmp")
    folder.mkdir()
    (folder / "inside").write_text("half")
    write_atomically(path, "whole")
    assert path.read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == sorted([path, other, earlier, alive])
    day = time.time() - 25 * 3600
    os.utime(other, (day, day))  # a process of another machine cannot be asked
    write_atomically(path, "whole")
    assert not other.exists() and earlier.exists()


@pytest.mark.parametrize("make", ["folder", "pipe", "loop", "missing", "binary"])
def test_what_is_no_readable_file_is_refused_at_once(tmp_path: Path, make: str) -> None:
    path = tmp_path / "x.json"
    {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "loop": lambda: path.symlink_to(path),
        "missing": lambda: None,
        "binary": lambda: path.write_bytes(b"\xff\xfe"),
    }[make]()
    for read in (read_json, read_yaml):
        with pytest.raises(UserError, match=r"x\.json: cannot be read \("):
            read(path)


def test_links_and_pipes_stay_what_they_are(tmp_path: Path) -> None:
    real, link, pipe = tmp_path / "real.csv", tmp_path / "link.csv", tmp_path / "pipe"
    real.write_text("old")
    link.symlink_to(real)
    write_atomically(link, "new")
    assert link.is_symlink() and real.read_text() == "new"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, "through")
    assert os.read(reader, 100) == b"through" and pipe.is_fifo()
    os.close(reader)
    if Path("/dev/full").is_char_device():
        with pytest.raises(OSError, match="No space left"):
            write_atomically(Path("/dev/full"), "new")
        assert Path("/dev/full").is_char_device()
