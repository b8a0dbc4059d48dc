"""Saved states of unfinished fine-tunings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmark.evaluation.dense.progress import Saved, saved_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_states_are_restored_and_finished_settings_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.state.pt"
    first, part = Saved(path), torch.nn.Linear(2, 2)
    assert first.restore({"part": part}) == 0
    first.write({"part": part}, 3)
    again, other = Saved(path), torch.nn.Linear(2, 2)
    assert again.restore({"part": other}) == 3
    assert first.seconds == 0.0 < again.seconds < 60.0
    assert torch.equal(other.weight, part.weight)
    again.finish_one(12.5, other.state_dict())
    third = Saved(path)
    assert third.trained[0][0] == 12.5 and torch.equal(third.trained[0][1]["weight"], part.weight)
    assert third.restore({"part": other}) == 0  # the next setting begins anew
    third.remove()
    assert not path.exists()


def test_a_damaged_file_is_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "a.state.pt").write_bytes(b"no")
    saved = Saved(tmp_path / "a.state.pt")
    assert (saved.trained, saved.restore({}), saved.seconds) == ([], 0, 0.0)


def test_the_file_is_of_the_protocol_and_the_dataset(seeing: Callable[..., Any], tmp_path: Path) -> None:
    saved_state(seeing(folder=tmp_path), "detection-v1").write({}, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["detection-v1.00000000.state.pt"]
    nowhere = saved_state(seeing(), "detection-v1")
    nowhere.write({}, 1)
    nowhere.remove()
    assert len(list(tmp_path.iterdir())) == 1
