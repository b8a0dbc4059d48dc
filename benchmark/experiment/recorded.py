"""An experiment and its entries as records of runs describe them, without the file that they came from."""

from __future__ import annotations

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
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.records.schema import Record

_SHARED = ("batch_size", "accumulate", "image_size", "dataset")


def measurable(runs: Sequence[tuple[Path, Record]]) -> dict[str, tuple[Path, Record]]:
    """A run of each step key among some: of those that trained, and whose records say what their keys were made from.

    Of entries that cost the same the one with the shortest name.
    """
    return {
        key: (path, record)
        for path, record in sorted(runs, key=lambda run: (-len(run[1].entry), run[1].entry))
        if (key := step_key_of(record)) and record.ledger is not None and record.ledger.steps
    }


def recorded_experiment(
    runs: Sequence[tuple[Path, Record]], precision: str | None = None
) -> tuple[Experiment, list[ResolvedEntry]]:
    """The experiment of some runs with each configuration once, whatever its seed, budget and learning rate.

    Args:
        runs: of one experiment; those that trained nothing, or whose step cannot be told from others', are left out.
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
    chosen = sorted(trained.values(), key=lambda run: (run[1].seed, run[1].started))
    first_path, first = chosen[0]
    for path, record in chosen:
        if any(record.config.get(name) != first.config.get(name) for name in _SHARED):
            raise UserError(f"{path}: has other data or another batch than {first_path}; measure their folders apart")
    entries = [_resolved(path, record) for path, record in chosen]
    data = {
        "name": first.experiment,
        "dataset": first.config["dataset"],
        "backbone": first.config["backbone"],
        "budget": {"steps": 1},
        "batch_size": first.config["batch_size"],
        "accumulate": first.config.get("accumulate", 1),
        "precision": precision or first.config["precision"],
        "entries": [entry.entry.model_dump(exclude={"overrides"}) for entry in entries],
    }
    reference = first.config.get("reference")
    if reference in {entry.entry.name for entry in entries}:
        data["reference"] = reference
    return validate(Experiment, data, str(first_path)), entries


def _resolved(path: Path, record: Record) -> ResolvedEntry:
    where = f"{path}: entry '{record.entry}'"
    if record.method == EXTERNAL:
        raise UserError(f"{where} was trained elsewhere; its steps cannot be measured")
    config: dict[str, Any] = record.config
    try:
        method = method_class(record.method)
        backbone = BackboneSpec.model_validate(config["backbone"])
    except (ValueError, KeyError, ValidationError) as error:
        raise UserError(f"{where}: no longer resolves ({error})") from None
    settings = validate(method.config_class, config["method"], where)
    entry = EntrySpec(name=record.entry, method=record.method, backbone=backbone)
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
