"""The table of formats, and checkpoints as the user describes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from layouts import FORMATS as LAYOUTS

from benchmark.encoders.formats import FORMATS, Foreign
from benchmark.errors import UserError
from methods.backbone_spec import BackboneSpec


def test_every_format_is_laid_out_and_described() -> None:
    assert set(FORMATS) == {"auto", *LAYOUTS}
    assert all(form.description for form in FORMATS.values())


def test_no_format_looks_for_a_siblings_names() -> None:
    prefixes = {prefix for form in FORMATS.values() for prefix in form.prefixes}
    assert not [prefix for prefix in prefixes if any(word in prefix for word in ("student", "teacher", "encoder_k"))]
    assert FORMATS["cnn-jepa"].prefixes == ("backbone_momentum.",)


def test_a_format_or_name_that_does_not_exist_is_refused() -> None:
    backbone = BackboneSpec(name="resnet18")
    with pytest.raises(UserError, match=r"--format is 'tim'; did you mean 'timm'\?"):
        Foreign(Path("w.pth"), backbone, "w", "tim")
    with pytest.raises(UserError, match="--name: 'a/b' names a folder"):
        Foreign(Path("w.pth"), backbone, "a/b")
