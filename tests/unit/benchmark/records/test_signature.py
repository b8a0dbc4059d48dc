"""Signatures are made and checked by the real `ssh-keygen`."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from benchmark.errors import UserError
from benchmark.records.signature import NAMESPACE, SIGNATURE, SIGNED, find_signed, sign

if TYPE_CHECKING:
    from pathlib import Path

needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    made = tmp_path / "keys" / "id"
    made.parent.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", made], check=True)
    return made


@pytest.fixture
def signers(key: Path) -> Path:
    path = key.with_name("signers")
    path.write_text(f'lab@example.org namespaces="{NAMESPACE}" {key.with_suffix(".pub").read_text()}')
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, of which one lies in a folder of its own."""
    made = tmp_path / "results"
    (made / "run").mkdir(parents=True)
    (made / "run" / "record.json").write_text("{}")
    (made / "cost.json").write_text("[]")
    return made


def _files(folder: Path) -> list[Path]:
    return [folder / "run" / "record.json", folder / "cost.json"]


@needs_ssh
def test_what_was_signed_is_known_by_name_and_what_changed_is_told(folder: Path, key: Path, signers: Path) -> None:
    fingerprint = sign(folder, _files(folder), key)
    assert fingerprint.startswith("SHA256:")
    unnamed = find_signed(folder, None)
    assert unnamed is not None and unnamed.by == fingerprint
    signed = find_signed(folder / "run", signers)  # a part of what was signed
    assert signed is not None and signed.by == "lab@example.org"
    assert [signed.fault(path) for path in _files(folder)] == [None, None]
    (folder / "cost.json").write_text("[1]")
    assert signed.fault(folder / "cost.json") == "cost.json was changed after lab@example.org signed it"
    (folder / "run" / "more.json").write_text("")
    assert signed.fault(folder / "run" / "more.json") == "more.json is not among the files that lab@example.org signed"


@needs_ssh
def test_a_signature_can_be_checked_without_this_package(folder: Path, key: Path, signers: Path) -> None:
    sign(folder, _files(folder), key)
    asked = ["-f", signers, "-I", "lab@example.org", "-n", NAMESPACE, "-s", folder / SIGNATURE]
    content = (folder / SIGNED).read_bytes()
    assert subprocess.run(["ssh-keygen", "-Y", "verify", *asked], input=content, check=False).returncode == 0
    assert subprocess.run(["sha256sum", "--check", "--quiet", SIGNED], cwd=folder, check=False).returncode == 0


@needs_ssh
def test_a_changed_list_a_stranger_and_a_missing_signature_are_refused(folder: Path, key: Path, signers: Path) -> None:
    sign(folder, _files(folder), key)
    whole = (folder / SIGNED).read_text()
    (folder / SIGNED).write_text(whole.replace("cost", "toast"))
    for known in (None, signers):
        with pytest.raises(UserError, match=f"{SIGNATURE}: is not a signature over {SIGNED}"):
            find_signed(folder, known)
    (folder / SIGNED).write_text(whole)
    signers.write_text("")
    with pytest.raises(UserError, match=r"is of none of the signers in .*signers \(SHA256:"):
        find_signed(folder, signers)
    with pytest.raises(UserError, match=r"--signers is .*nowhere; there is no such file"):
        find_signed(folder, folder / "nowhere")
    (folder / SIGNATURE).unlink()
    with pytest.raises(UserError, match=f"its signature, {SIGNATURE}, is not beside it"):
        find_signed(folder, None)


@needs_ssh
def test_a_signature_for_another_purpose_is_none_for_results(folder: Path, key: Path, signers: Path) -> None:
    sign(folder, _files(folder), key)
    (folder / SIGNATURE).unlink()
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "git", folder / SIGNED], check=True)
    with pytest.raises(UserError, match="is not a signature over"):
        find_signed(folder, signers)


@needs_ssh
def test_a_list_with_another_line_is_named(folder: Path, key: Path) -> None:
    listed = folder / SIGNED
    listed.write_text("hello\n")
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", NAMESPACE, listed], check=True)
    with pytest.raises(UserError, match=f"{SIGNED}, line 1: expected a SHA-256, two spaces and a path"):
        find_signed(folder, None)


def test_a_folder_without_a_list_is_not_signed(folder: Path) -> None:
    assert find_signed(folder, None) is None


def test_wrong_keys_are_refused_and_nothing_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--key is .*nowhere; there is no such file"):
        sign(folder, _files(folder), folder / "nowhere")
    if shutil.which("ssh-keygen"):
        with pytest.raises(UserError, match=r"cost\.json: cannot sign \("):
            sign(folder, _files(folder), folder / "cost.json")
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(UserError, match="signatures need ssh-keygen, which is not installed"):
        sign(folder, _files(folder), folder / "cost.json")
    assert not (folder / SIGNED).exists()


@needs_ssh
def test_what_is_missing_is_named_and_a_list_of_something_else_is_passed_over(folder: Path, key: Path) -> None:
    sign(folder, _files(folder), key)
    signed = find_signed(folder / "run", None)
    assert signed is not None and signed.missing(folder) == []
    (folder / "run" / "record.json").unlink()
    assert signed.missing(folder) == [(folder / "run" / "record.json").resolve()]
    assert signed.missing(folder / "elsewhere") == []
    (folder / "elsewhere").mkdir()
    assert find_signed(folder / "elsewhere", None) is None


@needs_ssh
@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\u2028b", "\udcff"])
def test_names_that_a_list_cannot_hold_are_refused(folder: Path, key: Path, name: str) -> None:
    path = folder / "run" / name
    path.write_text("")
    with pytest.raises(UserError, match=r"cannot be signed; rename .* which has unprintable characters"):
        sign(folder, [*_files(folder), path], key)
    assert not (folder / SIGNED).exists()


@needs_ssh
def test_a_folder_in_the_place_of_the_list_and_a_huge_signature_are_refused(folder: Path, key: Path) -> None:
    sign(folder, _files(folder), key)
    (folder / SIGNATURE).write_bytes(b"x" * 2**17)
    with pytest.raises(UserError, match=r"is 131,072 bytes long; expected at most 65,536"):
        find_signed(folder, None)
    (folder / SIGNED).unlink()
    (folder / SIGNED).mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        sign(folder, _files(folder), key)


@needs_ssh
def test_a_key_that_others_may_read_is_refused_in_words(folder: Path, key: Path) -> None:
    key.chmod(0o644)
    with pytest.raises(UserError, match=r"cannot sign \(Permissions 0644 for .* are too open"):
        sign(folder, _files(folder), key)
