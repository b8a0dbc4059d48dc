"""Broken and hostile inputs, made by chance, by kind: what `refusals.py` gives to commands."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np
import torch
import yaml
from PIL import Image

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

RESULTS = "no-folder"  # where results of accepted inputs would go: a file, so that nothing is trained
RECORDS = Path(__file__).parents[1] / "results" / "reference" / "quickstart"


class Input(NamedTuple):
    """A command's arguments.

    Attributes:
        output: a device in place of standard output.
        holds: whether the outcome is right, from the folder and what was printed; None where it is to be refused.
    """

    arguments: list[str]
    output: str | None = None
    holds: Callable[[Path, str], bool] | None = None


def _experiment(folder: Path, **changes: Any) -> list[str]:
    tiny: dict[str, Any] = {
        "name": "tiny",
        "dataset": {"name": "shapes", "shapes_train": 200, "shapes_test": 60},
        "budget": {"steps": 2},
        "batch_size": 16,
        "entries": ["simclr"],
    }
    return _text(folder, yaml.safe_dump({**tiny, **changes}))


def _text(folder: Path, text: str) -> list[str]:
    (folder / "x.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    (folder / RESULTS).write_text("")
    return ["run", "x.yaml", "--out", RESULTS, "--share"]


def _beside_good(
    chance: random.Random, folder: Path, change: Callable[[dict[str, Any]], str], *, name: str = "record.json"
) -> Input:
    """A leaderboard, merge or report of a good run and of one with a file that is not: the one is named."""
    for entry in ("simclr", "cnn_jepa"):
        (run,) = (RECORDS / entry).glob("seed-0-*")
        place = folder / "results" / "quickstart" / entry / run.name
        shutil.copytree(run, place)
        data = json.loads((place / "record.json").read_text())
        data.pop("digest", None)
        (place / "record.json").write_text(json.dumps(data))
    (place / name).write_text(change(data), encoding="utf-8", errors="surrogatepass")
    command = chance.choice([["leaderboard", "results", "--csv", "x.csv"], ["merge", "results", "--out", "all"]])

    def named(folder: Path, text: str) -> bool:
        taken = (folder / "x.csv").exists() or (folder / "all" / "quickstart" / "simclr").exists()
        return taken and f"cnn_jepa/{place.name}/" in text

    return Input(command, holds=named)


def _changed(data: dict[str, Any], key: str, value: str) -> str:
    """A record's JSON with a text in place of a value: what json cannot write, too."""
    *path, last = key.split(".")
    inner = data
    for part in path:
        inner = inner[part]
    inner[last] = "@HERE@"
    return json.dumps(data).replace('"@HERE@"', value)


def _nested(chance: random.Random, number: int, folder: Path) -> Input:
    depth = chance.choice([200, 2_000, 50_000, 500_000])
    opening, closing = chance.choice([("[", "]"), ('{"a":', "}")])
    deep = opening * depth + "1" + closing * depth
    match number % 5:
        case 0:
            return Input(_text(folder, f"a: {deep}"))
        case 1:
            letters = "abcdefghijklmnop"[: chance.randint(9, 16)]
            lines = [f"{letters[0]}: &{letters[0]} [x, x, x, x, x, x, x, x, x, x]"]
            for one, other in itertools.pairwise(letters):
                lines.append(f"{other}: &{other} [{', '.join([f'*{one}'] * 10)}]")
            return Input(_text(folder, "\n".join(lines)))
        case 2:
            return Input(_text(folder, chance.choice(["&a [*a]", "a: &a {b: *a}", "entries: &e [x, *e]"])))
        case 3:
            _experiment(folder)
            deep = deep[: 60_000 // 2] if depth > 2_000 else deep  # what a command line may hold
            return Input(
                ["run", "x.yaml", "--out", RESULTS, "--share", "--set", f"{chance.choice(['seeds', 'name'])}={deep}"]
            )
    key = chance.choice(["config", "dataset.notes", "metrics.extra", "seed"])
    return _beside_good(chance, folder, lambda data: _changed(data, key, deep))


def _numbers(chance: random.Random, number: int, folder: Path) -> Input:
    big = chance.choice(["9" * 5000, "1" + "0" * 20, "1e400", "-1e999", str(2**63), "9" * 400])
    if number % 2:
        key = chance.choice(["seed", "ledger.training_time", "ledger.steps", "dataset.classes"])
        dates = [f'"{text}"' for text in ("2020-13-45T00:00:00+00:00", "0000-01-01", "99999-01-01T00:00", "soon")]
        if chance.random() < 0.4:
            return _beside_good(chance, folder, lambda data: _changed(data, "ended", chance.choice(dates)))
        return _beside_good(chance, folder, lambda data: _changed(data, key, big))
    key = chance.choice(
        ["seeds", "batch_size", "budget.steps", "budget.epochs", "dataset.shapes_train", "dataset.size"]
    )
    _experiment(folder)
    return Input(["run", "x.yaml", "--out", RESULTS, "--share", "--set", f"{key}={big}"])


def _unprintable(chance: random.Random, number: int, folder: Path) -> Input:
    half = f"\\ud{chance.choice('89ab')}{chance.randrange(256):02x}"
    if number % 3 == 0:
        return Input(_text(folder, f'name: "a{half}"\nentries: [simclr]\nbudget: {{steps: 2}}\n'))
    key = chance.choice(["message", "experiment", "entry", "environment.device", "environment.cpu_model", "flags"])
    value = f'["{half}"]' if key == "flags" else f'"x{half}y"'
    return _beside_good(chance, folder, lambda data: _changed(data, key, value))


def _long_names(chance: random.Random, number: int, folder: Path) -> Input:
    name = chance.choice(["a", "ä", "名"]) * chance.randint(256, 3000)
    match number % 5:
        case 0:
            return Input(_experiment(folder, name=name))
        case 1:
            return Input(_experiment(folder, entries=[{"method": "simclr", "name": name}]))
        case 2:
            _experiment(folder)
            return Input(["run", "x.yaml", "--share", "--out", name])
        case 3:
            return Input([*_experiment(folder), chance.choice(["--methods", "--device", "--budget", "--data"]), name])
    return Input([chance.choice(["run", "report", "sweep", "leaderboard"]), name])


def _declared(chance: random.Random, number: int, folder: Path) -> Input:
    count = int(10 ** chance.uniform(9, 13))
    match number % 4:
        case 0 | 1:
            compressed = number % 4 == 1
            path = folder / "x-train.h5"
            _hdf5(path)
            name = chance.choice(["lengths", "labels", "sizes", "checksums", "classes"])
            with h5py.File(path, "r+") as file:
                kind, rest = file[name].dtype, file[name].shape[1:]
                del file[name]
                if compressed:
                    rows = 20_000_000
                    table = file.create_dataset(name, (rows, *rest), kind, chunks=(rows, *rest), compression="gzip")
                    table.id.write_direct_chunk([0] * table.ndim, zlib.compress(bytes(table.nbytes), 1))
                else:
                    file.create_dataset(name, (count, *rest), kind, chunks=True)
            return Input(["data", "inspect", "x-train.h5"])
        case 2:
            for split in ("train", "test"):
                for name in "ab":
                    place = folder / "images" / split / name / f"{split}{name}.jpg"
                    place.parent.mkdir(parents=True)
                    Image.new("RGB", (32, 32), (len(split), ord(name), 3)).save(place)
            content = bytearray(place.read_bytes())
            at = content.index(b"\xff\xc0") + 5
            content[at : at + 4] = np.array([chance.randint(60_000, 65_500)] * 2, ">u2").tobytes()
            place.write_bytes(content)
            return Input([*_experiment(folder), "--data", "images"])
    key = chance.choice(["dataset.shapes_train", "dataset.shapes_test", "dataset.size"])
    _experiment(folder)
    return Input(["run", "x.yaml", "--out", RESULTS, "--share", "--set", f"{key}={count}"])


def _hdf5(path: Path) -> None:
    """A file as `bench data convert` writes it, of four images of no sense."""
    with h5py.File(path, "w") as file:
        file.attrs.update(format="cnn-jepa-bench images", format_version=1, split="train", skipped="[]")
        file["bytes"] = np.zeros(400, np.uint8)
        file["lengths"], file["labels"] = np.full(4, 100, np.uint32), np.arange(4, dtype=np.int32) % 2
        file["sizes"], file["checksums"] = np.full((4, 2), 32, np.uint32), np.zeros((4, 16), np.uint8)
        file.create_dataset("classes", data=["a", "b"], dtype=h5py.string_dtype())


def _links(chance: random.Random, number: int, folder: Path) -> Input:
    path = folder / "x-train.h5"
    _hdf5(path)
    with h5py.File(path, "r+") as file:
        names = chance.sample(["bytes", "lengths", "labels", "sizes", "checksums", "classes", "factors"], 2)
        for one, other in zip(names, [*names[1:], names[0]], strict=True):
            if one in file:
                del file[one]
            outside = chance.choice([path.name, "none.h5", "/dev/zero"])
            file[one] = h5py.SoftLink(f"/{other}") if number % 2 else h5py.ExternalLink(outside, f"/{other}")
    return Input(["data", "inspect", path.name])


def _checkpoints(chance: random.Random, number: int, folder: Path) -> Input:
    path = folder / "x.pt"
    if number % 2:
        path.write_bytes(
            chance.choice([b"", b"text\n" * 50, chance.randbytes(3000), b"PK\x03\x04" + chance.randbytes(99)])
        )
    else:
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 4))
        weights = {f"layer{chance.randrange(9)}.{name}": value for name, value in network.state_dict().items()}
        next(iter(weights.values())).flatten()[0] = chance.choice([float("nan"), float("inf"), 1.0])
        torch.save(chance.choice([weights, {"state_dict": weights}, [weights], 3]), path)
    words = ["--backbone", "resnet18", "--dataset", "shapes", "--size", "32"]
    return Input(["evaluate", path.name, *words, "--share", "--out", "all"])


def _lost_output(chance: random.Random, number: int, folder: Path) -> Input:
    command = chance.choice(
        [["list", "methods"], ["list", "entries"], ["--help"], ["version"], ["run", "--help"], ["doctor"]]
    )
    return Input(command, "/dev/full")


def _silent(chance: random.Random, number: int, folder: Path) -> Input:
    changes: list[dict[str, Any]] = [
        {"seeds": [True]},
        {"seeds": ["1"]},
        {"seeds": [1.0]},
        {"budget": True},
        {"batch_size": 16.0},
        {"batch_size": "16"},
        {"dataset": {"name": "shapes", "size": "32"}},
        {"name": "CON"},
        {"name": chance.choice(["nul", "com1", "aux"])},
        {"entries": ["simclr", "simclr"]},
        {"entries": ["simclr", {"method": "byol", "name": "SimCLR"}]},
        {"evaluation": {"points": True}},
    ]
    words = [
        "--seeds=0,,1",
        "--seeds=,",
        "--seeds=\u0661",  # digits of another script
        "--budget=steps=1_000",
        "--budget=steps=\u0663",
        "--seeds=01",
        "--methods=simclr,,byol",
    ]
    texts = ["seeds: [1]\nseeds: [2]\n", "batch_size: 0x10\n", "batch_size: 1:30\n", "seeds: [1_0]\n"]
    pool: list[Any] = [*changes, *words, *texts]
    given = pool[number % len(pool)]
    if isinstance(given, dict):
        return Input(_experiment(folder, **given))
    if given.startswith("--"):
        return Input([*_experiment(folder), given])
    return Input(_text(folder, f"entries: [simclr]\nbudget: {{steps: 2}}\n{given}"))


def _budgets(chance: random.Random, number: int, folder: Path) -> Input:
    kind = chance.choice(["epochs", "steps", "samples", "wall_clock", "device_hours", "flops", "calibrated_time"])
    limit = chance.choice(["1" + "0" * chance.randint(29, 300), f"-{chance.random()}", "0", "nan", "inf", "1e-300"])
    unit = chance.choice("dhms") if kind in ("wall_clock", "calibrated_time") else ""
    return Input([*_experiment(folder), "--budget", f"{kind}={limit}{unit}"])


def _no_records(chance: random.Random, number: int, folder: Path) -> Input:
    results = folder / "results" / "quickstart"
    results.mkdir(parents=True)
    for _ in range(chance.randrange(4)):
        (results / f"{chance.randrange(99)}.json").write_bytes(chance.randbytes(20))
    command = chance.choice(["report", "leaderboard", "merge", "status"])
    return Input([command, "results", *(["--out", "all"] if command in ("report", "merge") else [])])


def _leftovers(chance: random.Random, number: int, folder: Path) -> Input:
    """Half-written files of an ended process: with the name that is given now, and an older one of two days ago."""
    (run,) = (RECORDS / "simclr").glob("seed-0-*")
    inside = Path("quickstart", "simclr", run.name)
    shutil.copytree(run, folder / "results" / inside)
    command, target = chance.choice(
        [
            (["leaderboard", "results", "--csv", "x.csv"], folder / "x.csv"),
            (["merge", "results", "--out", "all"], folder / "all" / inside),
        ]
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    write = "import sys; from benchmark.files.disk import temporary_path; from pathlib import Path"
    write += "; temporary_path(Path(sys.argv[1])).write_text('half')"
    subprocess.run([sys.executable, "-c", write, str(target)], check=True)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    older = target.with_name(f".{target.name}.{ended.pid}.tmp")
    older.write_bytes(chance.randbytes(99))
    os.utime(older, (time.time() - 2 * 86400,) * 2)
    return Input(command, holds=lambda folder, text: target.exists() and not list(target.parent.glob(".*.tmp")))


def _system_errors(chance: random.Random, number: int, folder: Path) -> Input:
    given = _beside_good(chance, folder, json.dumps)
    (record,) = (folder / "results" / "quickstart" / "cnn_jepa").glob("*/record.json")
    record.unlink()
    match chance.randrange(4):
        case 0:
            record.mkdir()
        case 1:
            record.symlink_to(record)
        case 2:
            os.mkfifo(record)
        case 3:
            record.symlink_to("/dev/zero")
    return Input(["merge", "results", "--out", "all"], holds=given.holds)


def _edited(chance: random.Random, number: int, folder: Path) -> Input:
    (run,) = (RECORDS / "cnn_jepa").glob("seed-0-*")
    place = folder / "results" / "quickstart" / "cnn_jepa" / run.name
    shutil.copytree(run, place)
    path = place / "record.json"
    data = json.loads(path.read_text())
    name = chance.choice(["linear_top1", "knn20"])
    encoder = data["metrics"]["encoders"][data["metrics"]["primary"]]
    encoder[name] = round(encoder[name] + chance.uniform(0.1, 5), 2)
    path.write_text(json.dumps(data))
    command = chance.choice(
        [["leaderboard", "results"], ["merge", "results", "--out", "all"], ["report", "results", "--out", "page"]]
    )
    return Input(command, holds=lambda folder, text: "changed after it was written" in text)


KINDS: dict[str, Callable[[random.Random, int, Path], Input]] = {
    "nested deeply, or referring to itself": _nested,
    "numbers and dates out of range": _numbers,
    "half characters (surrogates)": _unprintable,
    "names too long for a disk": _long_names,
    "more declared than held": _declared,
    "HDF5 links that lead in circles or outside": _links,
    "checkpoints that are none, or not finite": _checkpoints,
    "standard output on a full disk": _lost_output,
    "taken for something else": _silent,
    "budgets out of range": _budgets,
    "results without a record": _no_records,
    "temporary files of ended processes": _leftovers,
    "records that the system cannot read": _system_errors,
    "records that were edited": _edited,
}
