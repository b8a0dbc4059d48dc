"""Signatures over results that go to another laboratory, made and checked by `ssh-keygen -Y` (OpenSSH 8.1 or later).

What is signed is `signed.sha256`, a list of files in the format of `sha256sum`, so that a signature can be checked
without this package: `sha256sum --check signed.sha256`, and `ssh-keygen -Y verify` with the namespace below.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.files.disk import read_text, reading, write_atomically, writing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SIGNED = "signed.sha256"
"""The list of files, beside which its signature is."""
SIGNATURE = "signed.sha256.sig"
NAMESPACE = "cnn-jepa-bench"
"""What a signature is good for: one made for a file or a commit is none for results."""
_MOST = 64 * 2**20  # bytes of a list
_MOST_SIGNATURE = 2**16  # bytes
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Signed:
    """What somebody has signed.

    Attributes:
        by: the signer as the file of allowed signers names them; without such a file, the key.
        digests: SHA-256 of each file, by its path.
    """

    by: str
    digests: dict[Path, str]

    def missing(self, folder: Path) -> list[Path]:
        """The signed files below a folder that are not there."""
        inside = folder.resolve()
        return [path for path in self.digests if path.is_relative_to(inside) and not path.is_file()]

    def fault(self, path: Path) -> str | None:
        """Why a file is not what was signed, as a clause; None if it is.

        Raises:
            UserError: the file cannot be read.
        """
        expected = self.digests.get(path.resolve())
        if expected is None:
            return f"{path.name} is not among the files that {self.by} signed"
        return None if _sha256(path) == expected else f"{path.name} was changed after {self.by} signed it"


def sign(folder: Path, files: Iterable[Path], key: Path) -> str:
    """Lists files of a folder with their SHA-256, and signs the list; returns the key's fingerprint.

    Args:
        key: a private key as `ssh-keygen` makes it, or the public half of one that an agent holds.

    Raises:
        UserError: a file cannot be read, the list cannot be written, or there is no signature to be had with this key.
    """
    lines = [f"{_sha256(path)}  {_listed(path, folder)}\n" for path in sorted(files)]
    if not key.is_file():
        raise UserError(f"--key is {key}; there is no such file; `ssh-keygen -t ed25519` makes a key")
    listed, signature = folder / SIGNED, folder / SIGNATURE
    content = "".join(lines)
    made = _ssh_keygen("-Y", "sign", "-f", str(key), "-n", NAMESPACE, text=content)
    if made.returncode:
        raise UserError(f"{key}: cannot sign ({_complaint(made)})")
    with writing(folder):
        write_atomically(listed, content)
        write_atomically(signature, made.stdout)
    return _fingerprint(signature, content)


def find_signed(folder: Path, signers: Path | None) -> Signed | None:
    """What is signed in a folder, by a list in it or in the nearest folder above; None where there is no list.

    Args:
        signers: a file of allowed signers (`man ssh-keygen`: a name and a public key on each line). Without one, the
            signature has to be intact, but nothing says whose it is.

    Raises:
        UserError: the list or its signature cannot be read, do not belong together, or are of none of the signers.
    """
    own = folder.resolve()
    for place in (own, *own.parents):
        if (place / SIGNED).is_file():
            signed = _read(place, signers)
            # A list above that names nothing in this folder is of something else.
            if place == own or any(path.is_relative_to(own) for path in signed.digests):
                return signed
    return None


def _read(place: Path, signers: Path | None) -> Signed:
    """The list in a folder, whose signature is checked."""
    listed, signature = place / SIGNED, place / SIGNATURE
    content = read_text(listed, _MOST)
    if not signature.is_file():
        raise UserError(f"{listed}: its signature, {SIGNATURE}, is not beside it")
    if (size := signature.stat().st_size) > _MOST_SIGNATURE:
        raise UserError(f"{signature}: is {size:,} bytes long; expected at most {_MOST_SIGNATURE:,}")
    fingerprint = _fingerprint(signature, content)
    by = fingerprint if signers is None else _signer(signature, content, signers, fingerprint)
    digests = {}
    for number, line in enumerate(content.split("\n")[:-1], start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise UserError(f"{listed}, line {number}: expected a SHA-256, two spaces and a path")
        digests[place / match[2]] = match[1]
    return Signed(by, digests)


def _listed(path: Path, folder: Path) -> str:
    """A file's name in a list; raises a `UserError` for one that a line of text cannot hold."""
    name = path.relative_to(folder).as_posix()
    if not name.isprintable():  # line breaks, half characters
        raise UserError(f"{folder}: cannot be signed; rename {name!r} in it, which has unprintable characters")
    return name


def _signer(signature: Path, content: str, signers: Path, fingerprint: str) -> str:
    """The name of who signed, of those that are allowed to."""
    if not signers.is_file():
        raise UserError(f"--signers is {signers}; there is no such file")
    found = _ssh_keygen("-Y", "find-principals", "-s", str(signature), "-f", str(signers))
    names = found.stdout.splitlines()
    if found.returncode or not names:
        raise UserError(f"{signature}: is of none of the signers in {signers} ({fingerprint})")
    asked = ("-f", str(signers), "-I", names[0], "-n", NAMESPACE, "-s", str(signature))
    verified = _ssh_keygen("-Y", "verify", *asked, text=content)
    if verified.returncode:
        raise UserError(f"{signature}: is not a signature of {names[0]} over {SIGNED} ({_complaint(verified)})")
    return names[0]


def _fingerprint(signature: Path, content: str) -> str:
    """The fingerprint of the key of an intact signature."""
    checked = _ssh_keygen("-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(signature), text=content)
    match = re.search(r"key (\S+)", checked.stdout)
    if checked.returncode or match is None:
        raise UserError(f"{signature}: is not a signature over {SIGNED} ({_complaint(checked)})")
    return match[1]


def _ssh_keygen(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments], input=text, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except FileNotFoundError:
        raise UserError("signatures need ssh-keygen, which is not installed; it is part of OpenSSH") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"ssh-keygen gave no answer within {_PATIENCE:.0f} s") from None


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    """What `ssh-keygen` says, without its frames and prompts."""
    lines = [line.strip() for line in (done.stderr + done.stdout).replace("passphrase: ", "passphrase:\n").splitlines()]
    said = [line for line in lines if line and not line.startswith("@") and not line.endswith("passphrase:")]
    return said[0] if said else f"exit code {done.returncode}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with reading(path), path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
