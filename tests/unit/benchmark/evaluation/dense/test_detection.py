"""Fine-tuning as a detector: ceiling, floor, repeats and resuming."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.errors import UserError
from benchmark.evaluation.dense import detection as module
from benchmark.evaluation.dense.detection import detection, instances
from benchmark.evaluation.dense.progress import Saved
from benchmark.evaluation.protocols import NotApplicableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from benchmark.evaluation.subject import Subject

    Make = Callable[..., Subject]


@pytest.fixture
def seeing(seeing: Make) -> Make:
    """A subject whose encoder's only map is taken as a ViT's."""

    def make(how: str = "colours", **changes: Any) -> Subject:
        subject = seeing(how, **changes)
        subject.encoder.backbone.spec = SimpleNamespace(kind="vit")  # type: ignore[assignment]
        return subject

    return make


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EPOCHS", 2)
    monkeypatch.setattr(module, "LEARNING_RATES", (1e-3, 3e-3))


@pytest.mark.slow
@pytest.mark.thorough
def test_colours_tell_boxes_and_constants_do_not(seeing: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EPOCHS", 8)
    monkeypatch.setattr(module, "LEARNING_RATES", (3e-3,))
    seen, blind = detection(seeing()), detection(seeing("constant"))
    assert seen["box_ap50"] > 20 and blind["box_ap50"] < 10, (seen, blind)


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_repeat_and_a_resumed_training_give_the_same_bits(
    seeing: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, torch.Tensor] = {}
    whole = detection(seeing(keep=kept.update))
    write, calls = Saved.write, []

    def interrupted(self: Saved, *arguments: Any) -> None:
        write(self, *arguments)
        calls.append(arguments[1])
        if len(calls) in (1, 4):  # in the first training, and at the end of the second
            raise KeyboardInterrupt

    monkeypatch.setattr(Saved, "write", interrupted)
    charged: list[float] = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            detection(seeing(folder=tmp_path, charge=charged.append))
    assert detection(seeing(folder=tmp_path, charge=charged.append)) == whole
    assert 0.0 == charged[0] < charged[1] < charged[2]
    assert calls == [1, 2, 1, 2] and not list(tmp_path.iterdir())
    assert kept["images"].shape == (8, 3, 32, 32) and kept["truth_boxes"].shape[::2] == (8, 4)
    assert kept["truth_scores"].max() == 1 and kept["prediction_boxes"].shape[:2] == kept["prediction_scores"].shape


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_instances_have_masks(seeing: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEARNING_RATES", (3e-3,))
    scores = instances(seeing())
    assert {"box_ap", "mask_ap", "mask_ap50", "mask_ap75", "box_ap_validation", "lr"} < set(scores)


def test_what_is_missing_is_said(seeing: Make, without: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotApplicableError, match="needs boxes of objects, which coloured does not have"):
        detection(without(seeing(), "objects"))
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"detection-v1 needs pycocotools: pip install 'cnn-jepa-bench\[detection\]'"):
        detection(seeing())
