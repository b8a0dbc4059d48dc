"""What a change of the house must not change, written down before it and compared after it.

    python tests/hold_fast.py write FOLDER      # on the old tree
    python tests/hold_fast.py compare FOLDER    # on the new one, on the same machine

It covers the recomputed keys of all committed records, the tables and numbers of the reports on the committed results,
the history of a tiny run of every method (to the last bit, which only one and the same machine repeats), the commands
with their options and defaults, and the public names of `methods` and `cnn_jepa`.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
_SLIM_VIT = {"name": "vit_tiny", "patch_size": 4, "width": 32, "depth": 1}
TINY: dict[str, Any] = {
    "name": "held",
    "dataset": {"name": "shapes", "shapes_train": 200, "shapes_test": 60},
    "backbone": {"name": "resnet18", "stem": "small", "width": 8},
    "budget": {"steps": 40},
    "batch_size": 16,
    "precision": 32,
    "evaluation": {"points": 2},
    "entries": [
        "cnn_jepa",
        {"name": "cnn_jepa_dense", "method": "cnn_jepa", "overrides": {"encoder": "masked_dense"}},
        {"method": "byol", "overrides": {"projector_hidden": 32, "predictor_hidden": 32, "output_dim": 16}},
        {"method": "simclr", "overrides": {"projector_hidden": 32, "output_dim": 16}},
        {"method": "vicreg", "overrides": {"projector_hidden": 32, "output_dim": 32}},
        {
            "method": "ijepa",
            "backbone": _SLIM_VIT,
            "overrides": {"predictor_width": 32, "predictor_heads": 1, "predictor_depth": 1},
        },
        "supervised",
        "random_init",
    ],
}


def _bench(*words: object) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmark", *map(str, words)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def keys() -> dict[str, str | None]:
    """The recomputed key of every committed record, by its path."""
    from benchmark.records.folder import read_record
    from benchmark.records.keys import recomputed_key

    paths = sorted((ROOT / "results").rglob("record.json"))
    return {str(path.relative_to(ROOT)): recomputed_key(path.parent, read_record(path)) for path in paths}


def tables() -> dict[str, Any]:
    """The tables of the reports on committed results as they stand, and the numbers of their pages in order."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for results in sorted(path for path in (ROOT / "results" / "reference").iterdir() if path.is_dir()):
            out = Path(scratch) / results.name
            _bench("report", results.relative_to(ROOT), "--out", out)
            for page in sorted(out.glob("*.csv")):
                with page.open(newline="", encoding="utf-8") as file:
                    # Where the record lies, seen from the page, is no matter.
                    rows = [{**row, "record": ""} for row in csv.DictReader(file)]
                found[f"{results.name}/{page.name}"] = rows
            cells = [line for line in (out / "report.md").read_text(encoding="utf-8").splitlines() if "|" in line]
            found[f"{results.name}/report.md"] = re.findall(r"\d+(?:\.\d+)?", "\n".join(cells))
    return found


def histories() -> dict[str, Any]:
    """The history of a tiny run of every method, and what it reached, to the last bit."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "held.yaml"
        config.write_text(yaml.safe_dump(TINY), encoding="utf-8")
        _bench("run", config, "--out", Path(scratch) / "results", "--quiet", "--share", "--device", "cpu")
        for record in sorted(Path(scratch).rglob("record.json")):
            name = record.parents[1].name
            data = json.loads(record.read_text(encoding="utf-8"))
            found[f"{name}/key"], found[f"{name}/metrics"] = data["key"], data["metrics"]
            history = record.with_name("history.jsonl")
            lines = [json.loads(line) for line in history.read_text().splitlines()] if history.is_file() else []
            found[f"{name}/history"] = [
                {key: value for key, value in line.items() if "time" not in key and "second" not in key}
                for line in lines
            ]
    return found


def commands() -> dict[str, list[str]]:
    """Every command's parameters: names, and defaults."""
    import typer

    try:
        app = importlib.import_module("benchmark.cli.main.main").app
    except ModuleNotFoundError:
        app = importlib.import_module("benchmark.cli.main").app
    found: dict[str, list[str]] = {}

    def visit(name: str, command: Any) -> None:
        found[name] = sorted(f"{'/'.join(one.opts)} {one.secondary_opts} {one.default!r}" for one in command.params)
        for child, nested in getattr(command, "commands", {}).items():
            visit(f"{name} {child}".strip(), nested)

    visit("", typer.main.get_command(app))
    return found


def public_names() -> dict[str, list[str]]:
    """The public names that each module of `methods` and `cnn_jepa` defines, with their signatures."""
    found: dict[str, list[str]] = {}
    for package in ("methods", "cnn_jepa"):
        top = importlib.import_module(package)
        names = [package, *(info.name for info in pkgutil.walk_packages(top.__path__, f"{package}."))]
        for name in names:
            module = importlib.import_module(name)
            lines = []
            for key, value in vars(module).items():
                if key.startswith("_") or getattr(value, "__module__", name) != name:
                    continue
                if inspect.isfunction(value):
                    lines.append(f"{key}{inspect.signature(value)}")
                elif inspect.isclass(value):
                    lines.append(key)
                    lines += [f"{key}.{member}" for member in vars(value) if not member.startswith("_")]
            found[name] = sorted(lines)
    return found


PARTS = {"keys": keys, "tables": tables, "commands": commands, "names": public_names, "histories": histories}


def main(verb: str, folder: str, *chosen: str) -> int:
    """Writes or compares; the number of parts that differ."""
    differing = 0
    for name in chosen or PARTS:
        path = Path(folder) / f"{name}.json"
        now = json.loads(json.dumps(PARTS[name]()))
        if verb == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
            print(f"{name}: {len(now)} written")
            continue
        before = json.loads(path.read_text(encoding="utf-8"))
        unlike = sorted(key for key in {**before, **now} if before.get(key) != now.get(key))
        differing += bool(unlike)
        print(f"{name}: {'same' if not unlike else 'DIFFERENT: ' + ', '.join(unlike[:10])} ({len(before)} before)")
        for key in unlike[:10]:
            old, new = before.get(key), now.get(key)
            if isinstance(old, list) and isinstance(new, list):
                print(
                    f"  {key}: gone {[x for x in old if x not in new][:6]}, new {[x for x in new if x not in old][:6]}"
                )
    return differing


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main(*sys.argv[1:]))
