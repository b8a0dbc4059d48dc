"""Entries with their recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmark.errors import UserError
from benchmark.experiment.entries import check_devices, check_sizes, resolve_entries
from benchmark.experiment.spec import load_experiment

if TYPE_CHECKING:
    from collections.abc import Callable


def test_nothing_is_trained_with_what_only_networks_from_elsewhere_have(write: Callable[..., str]) -> None:
    experiment, source = load_experiment(write(backbone={"name": "resnet18", "stem": "small_pad2"}))
    with pytest.raises(UserError, match="stem=small_pad2 is for encoders trained elsewhere"):
        resolve_entries(experiment, source)


def test_a_batch_has_to_divide_among_devices_and_micro_batches(write: Callable[..., str]) -> None:
    experiment, source = load_experiment(write(batch_size=24, accumulate=2, entries=["byol"]))
    entries = resolve_entries(experiment, source)
    check_devices(experiment, entries, "cpu", 4)
    with pytest.raises(UserError, match=r"does not divide into 5 devices x 2 micro-batches; .*: 20 and 30"):
        check_devices(experiment, entries, "cpu", 5)


def test_batch_norm_over_several_devices_needs_gpus(write: Callable[..., str]) -> None:
    experiment, source = load_experiment(write(), settings=["tuned.sync_batch_norm=true"])
    entries = resolve_entries(experiment, source)
    check_devices(experiment, entries, "cpu", 1)
    check_devices(experiment, entries, "cuda", 2)
    with pytest.raises(UserError, match=r"--set tuned\.sync_batch_norm=false"):
        check_devices(experiment, entries, "cpu", 2)


def test_patches_that_do_not_divide_the_images_are_refused_without_data(write: Callable[..., str]) -> None:
    vit = {"name": "vit_tiny", "patch_size": 4, "width": 32, "depth": 1}
    experiment, source = load_experiment(write(entries=[{"method": "ijepa", "backbone": vit}]))
    entries = resolve_entries(experiment, source)
    check_sizes(entries, 32)
    with pytest.raises(UserError, match=r"entry .ijepa., backbone vit_tiny: .*30"):
        check_sizes(entries, 30)
