"""An experiment and its entries as records of runs describe them, without the file that they came from."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmark.errors import UserError
from benchmark.experiment.entries import ResolvedEntry
from benchmark.experiment.explain import validate
from benchmark.experiment.spec import EntrySpec, Experiment
from benchmark.records.keys import EXTERNAL, step_key_of
from methods.backbone_spec import BackboneSpec
from methods.registry import method_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmark.records.schema import Record


def measurable(runs: Sequence[tuple[Path, Record]]) -> dict[str, tuple[Path, Record]]:
    """A run of each step key among some: of those that trained, and whose records say what their keys were made from.

    Of entries that cost the same the one with the shortest name.
    """
    return {
        key: (path, record)
        for path, record in sorted(runs, key=lambda run: (-len(run[1].entry), run[1].entry))
        if (key := step_key_of(record)) and record.ledger is not None and record.ledger.steps
    }


def measured_together(runs: Sequence[tuple[Path, Record]]) -> list[list[tuple[Path, Record]]]:
    """Runs by what all entries of a measurement share (images, batch, precision); those of several experiments too."""

    def shared(run: tuple[Path, Record]) -> str:
        _, record = run
        fields = {
            name: record.config.get(name)
            for name in ("batch_size", "accumulate", "image_size", "precision", "acceleration")
        }
        pretrain = (record.config.get("dataset") or {}).get("pretrain")
        return json.dumps([fields, pretrain, record.dataset.manifest], sort_keys=True)

    groups: dict[str, list[tuple[Path, Record]]] = {}
    for run in runs:
        groups.setdefault(shared(run), []).append(run)
    return list(groups.values())


def recorded_experiment(
    runs: Sequence[tuple[Path, Record]], precision: str | None = None
) -> tuple[Experiment, list[ResolvedEntry]]:
    """The experiment of some runs with each configuration once, whatever its seed, budget and learning rate.

    Args:
        runs: one of the groups of `measured_together`, each configuration of which is an entry; if it is of several
            experiments, the result has the name of the one with the most runs.
        precision: instead of the recorded one.

    Raises:
        UserError: no run trained anything, or a configuration no longer resolves; names the record and the key.
    """
    trained = measurable(runs)
    if not trained:
        raise UserError(
            f"{runs[0][0].parents[2]}: no record of a run that trained anything and says what its key was made from; "
            "nothing can be measured"
        )
    ((name, _),) = Counter(record.experiment for _, record in runs).most_common(1)
    chosen = sorted(trained.values(), key=lambda run: (run[1].experiment != name, run[1].seed, run[1].started))
    first_path, first = chosen[0]
    entries: dict[str, ResolvedEntry] = {}
    for path, record in chosen:
        names = itertools.chain([record.entry], (f"{record.experiment}.{record.entry}",), _numbered(record.entry))
        unique = next(name for name in names if name not in entries)
        entries[unique] = _resolved(path, record, unique)
    data = {
        "name": name,
        "dataset": first.config["dataset"],
        "backbone": first.config["backbone"],
        "budget": {"steps": 1},
        "batch_size": first.config["batch_size"],
        "accumulate": first.config.get("accumulate", 1),
        "acceleration": first.config.get("acceleration") or {},
        "precision": precision or first.config["precision"],
        "entries": [entry.entry.model_dump(exclude={"overrides"}) for entry in entries.values()],
    }
    if first.config.get("reference") in entries:
        data["reference"] = first.config["reference"]
    return validate(Experiment, data, str(first_path)), list(entries.values())


def _numbered(name: str) -> Iterator[str]:
    return (f"{name}-{number}" for number in itertools.count(2))


def _resolved(path: Path, record: Record, name: str) -> ResolvedEntry:
    where = f"{path}: entry '{record.entry}'"
    if record.method == EXTERNAL:
        raise UserError(f"{where} was trained elsewhere; its steps cannot be measured")
    config: dict[str, Any] = record.config
    try:
        method = method_class(record.method)
        backbone = BackboneSpec.model_validate(config["backbone"])
    except (ValueError, KeyError, ValidationError) as error:
        raise UserError(f"{where}: no longer resolves ({error}); --methods leaves it out") from None
    settings = validate(method.config_class, config["method"], where)
    entry = EntrySpec(name=name, method=record.method, backbone=backbone)
    return ResolvedEntry(entry, method, settings, backbone)


def check_same_steps(runs: Sequence[tuple[Path, Record]], keys: set[str]) -> None:
    """Raises a `UserError` where a run's configuration gives another step today than when it was recorded.

    Args:
        keys: the step keys of the entries as they resolve today.
    """
    for path, record in runs:
        key = step_key_of(record)
        if key is not None and record.ledger is not None and record.ledger.steps and key not in keys:
            raise UserError(
                f"{path}: its configuration no longer resolves to the step that it recorded (defaults have changed, "
                "or the images are others); its cost cannot be measured with this version and these images"
            )
