from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.records.keys import EXTERNAL, recomputed_key, run_key, step_key, step_key_of, weights_key
from benchmark.records.schema import KeySettings

if TYPE_CHECKING:
    from pathlib import Path

    from made_records import MakeRecord

CONFIG: dict[str, Any] = {
    "budget": {"epochs": 10},
    "image_size": 32,
    "dataset": {"pretrain": "train"},
    "batch_size": 256,
    "precision": "bf16",
    "evaluation": {"protocols": ["linear-v1", "knn-v1"]},
}
GIVEN: dict[str, Any] = {
    "rules": "1.0",
    "manifest": "ab" * 32,
    "config": CONFIG,
    "method": "byol",
    "settings": {"temperature": 0.2},
    "backbone": {"name": "resnet18"},
    "protocols": ["linear-v1", "knn-v1"],
    "seed": 0,
}


def test_a_key_never_changes() -> None:
    assert run_key(**GIVEN) == "a4d11f73cf6b7bd6cc0e69f39c6dfeb5"


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": "1.1"},
        {"manifest": "cd" * 32},
        {"method": "simclr"},
        {"settings": {}},
        {"backbone": {"name": "resnet50"}},
        {"protocols": ["linear-v1"]},
        {"seed": 1},
        *({"config": {**CONFIG, name: value}} for name, value in (
            ("budget", {"epochs": 20}), ("budget", {"steps": 10}), ("image_size", 64), ("batch_size", 128),
            ("precision", "32"), ("dataset", {"pretrain": "all"}), ("accumulate", 2),
            ("acceleration", {"networks": "graphs"}),
        )),
    ],
)  # fmt: skip
def test_whatever_can_change_the_result_changes_the_key(changes: dict[str, Any]) -> None:
    assert run_key(**{**GIVEN, **changes}) != run_key(**GIVEN)


def test_what_cannot_change_the_result_does_not() -> None:
    assert run_key(**{**GIVEN, "protocols": ["knn-v1", "linear-v1"]}) == run_key(**GIVEN)
    assert run_key(**{**GIVEN, "config": {**CONFIG, "accumulate": 1, "acceleration": {}, "name": "x"}}) == run_key(
        **GIVEN
    )


def test_steps_and_record_of_a_calibrated_budget_are_part_of_the_key() -> None:
    def key(**budget: Any) -> str:
        return run_key(**{**GIVEN, "config": {**CONFIG, "budget": budget}})

    budget = {"calibrated_time": 600.0, "steps": 7, "step_cost": "ab" * 16}
    others = ({"steps": 8}, {"step_cost": "cd" * 16}, {"calibrated_time": 700.0})
    keys = {key(**budget), key(steps=7), *(key(**{**budget, **other}) for other in others)}
    assert len(keys) == len(others) + 2
    for wrong in ({"calibrated_time": 600.0}, {"epochs": 1, "steps": 7}, {}):
        with pytest.raises(ValueError, match="a budget of"):
            key(**wrong)


@pytest.mark.parametrize(
    "budget",
    [{"epochs": 10}, {"calibrated_time": 600.0, "steps": 7, "step_cost": "ab" * 16}],
    ids=lambda b: next(iter(b)),
)
def test_a_record_gives_its_key_again_or_says_why_not(make_record: Any, tmp_path: Path, budget: dict[str, Any]) -> None:
    config = {
        **CONFIG,
        "budget": budget,
        "method": {"temperature": 0.2, "depth": 3},
        "backbone": {"name": "resnet18", "width": None},
    }
    record = make_record("byol", config=config).model_copy(
        update={
            "rules_version": "1.0",
            "key_settings": KeySettings(settings=GIVEN["settings"], backbone=GIVEN["backbone"]),
        }
    )
    assert recomputed_key(tmp_path, record) == run_key(**{**GIVEN, "config": {**CONFIG, "budget": budget}})
    assert recomputed_key(tmp_path, make_record("byol")) is None  # records from before `key_settings`
    other = record.model_copy(update={"config": {**record.config, "method": {"temperature": 0.5}}})
    with pytest.raises(ValueError, match="other settings of its method"):
        recomputed_key(tmp_path, other)
    without = record.model_copy(update={"config": {k: v for k, v in record.config.items() if k != "image_size"}})
    with pytest.raises(ValueError, match="lacks what its key was made from"):
        recomputed_key(tmp_path, without)


def test_the_key_of_a_foreign_encoder_is_that_of_its_weights(make_record: Any, tmp_path: Path) -> None:
    tensors = {"b": b"\x01\x02", "a": b"\x03"}
    header: dict[str, Any] = {"__metadata__": {"x": "y"}}
    content = b""
    for name, raw in tensors.items():
        header[name] = {"dtype": "U8", "shape": [len(raw)], "data_offsets": [len(content), len(content) + len(raw)]}
        content += raw
    text = json.dumps(header).encode()
    (tmp_path / "encoder.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + content)
    record = make_record("mine", method=EXTERNAL)
    expected = weights_key(sorted(tensors.items()), record.config, record.rules_version, record.dataset.manifest)
    assert recomputed_key(tmp_path, record) == expected
    (tmp_path / "encoder.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="cannot be made from its configuration and encoder"):
        recomputed_key(tmp_path, record)


def test_the_cost_of_a_step_does_not_depend_on_what_changes_numbers_alone() -> None:
    given: dict[str, Any] = {name: GIVEN[name] for name in ("manifest", "config", "method", "settings", "backbone")}
    own = step_key(**given)
    free = {**GIVEN["settings"], "optimizer": {"lr": 0.5, "warmup": 0.3}, "ema": {"start": 0.9}, "primary": "ema"}
    assert step_key(**{**given, "settings": free}) == own
    assert step_key(**{**given, "config": {**CONFIG, "budget": {"steps": 7}, "precision": "32"}}) == own
    for settings in ({**GIVEN["settings"], "optimizer": {"name": "lars"}}, {}):
        assert step_key(**{**given, "settings": settings}) != own

    # Weight decay costs the same whatever it is, and nothing where it is 0: by the settings in force, not by what of
    # them differs from a default.
    def decaying(decay: float) -> str:
        config = {**CONFIG, "method": {"optimizer": {"weight_decay": decay}}}
        return step_key(
            **{**given, "config": config, "settings": {**GIVEN["settings"], "optimizer": {"weight_decay": decay}}}
        )

    assert decaying(0.1) == decaying(0.2) != decaying(0.0)
    for config in (
        {**CONFIG, "batch_size": 7},
        {**CONFIG, "accumulate": 2},
        {**CONFIG, "image_size": 64},
        {**CONFIG, "acceleration": {"views": "compiled"}},
    ):
        assert step_key(**{**given, "config": config}) != own
    assert step_key(**{**given, "manifest": "other"}) != own


def test_a_run_and_its_step_cost_have_one_step_key(make_record: MakeRecord) -> None:
    made_from = KeySettings(settings=GIVEN["settings"], backbone=GIVEN["backbone"])
    record = make_record("byol", method=GIVEN["method"], config=CONFIG)
    assert step_key_of(record) is None  # records from before `key_settings`
    record = record.model_copy(update={"key_settings": made_from})
    parts: dict[str, Any] = {name: GIVEN[name] for name in ("method", "settings", "backbone")}
    assert step_key_of(record) == step_key(manifest=record.dataset.manifest, config=record.config, **parts)
