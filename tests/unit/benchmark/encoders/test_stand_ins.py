"""Objects beside the weights, of any class, are replaced by stand-ins; the weights stay what they are."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import functools
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import _weights_only_unpickler

from benchmark.encoders.stand_ins import Unread, stand_ins


class Settings(dict[str, Any]):
    """A dict whose keys are attributes, as many configurations are."""

    __getattr__ = dict.__getitem__


class Names(list[str]):
    """A list of a class of its own."""


class Kind(enum.Enum):
    """A setting out of several."""

    FIRST = 1


class Slotted:
    """An object whose state is no dict."""

    __slots__ = ("lr",)

    def __init__(self) -> None:
        self.lr = 0.1


OBJECTS = {
    "dict": Settings(a=1, inside=Settings(b=2)),
    "enum": Kind.FIRST,
    "slots": Slotted(),
    "path": Path("a/b"),
    "namespace": argparse.Namespace(lr=0.1),
    "scalar": numpy.float64(3.5),
    "array": numpy.arange(3),
    "random": numpy.random.RandomState(0),
    "partial": functools.partial(max, 1),
    "date": datetime.datetime(2026, 1, 1),
}


@pytest.mark.parametrize("zipped", [True, False])
def test_every_object_is_replaced_and_nothing_of_it_kept(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "last.ckpt"
    plain = {"epoch": 3, "classes": {1, 2}, "more": collections.defaultdict(list, {"a": [1]}), "order": [1, 2]}
    content = {"state_dict": {"a": torch.arange(4.0)}, "hyper_parameters": {**OBJECTS, **plain}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    before = set(torch.serialization.get_safe_globals())
    with stand_ins(path):
        read = torch.load(path, weights_only=True)
    assert set(torch.serialization.get_safe_globals()) == before
    settings = read["hyper_parameters"]
    assert torch.equal(read["state_dict"]["a"], torch.arange(4.0))
    assert {name: settings[name] for name in plain} == plain
    for name in OBJECTS:
        value = settings[name]
        assert type(value) is Unread and list(value) == [] and vars(value) == {}, name


@pytest.mark.skipif(
    not hasattr(_weights_only_unpickler.Unpickler, "_check_append_target"),
    reason="this torch appends to plain lists alone, and refuses such a file",
)
def test_lists_of_a_class_of_their_own_are_replaced_too(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"a": torch.ones(2), "names": Names(["a", "b"])}, path)
    with stand_ins(path):
        read = torch.load(path, weights_only=True)
    assert type(read["names"]) is Unread and list(read["names"]) == []


def test_a_stand_in_takes_anything() -> None:
    value = Unread(1, "a")
    value["key"] = 1
    value.append(2)
    value.extend([3])
    assert list(value) == [] and Unread in (dict, set) and Unread not in (list, set)
