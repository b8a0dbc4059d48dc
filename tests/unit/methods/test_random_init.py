"""The untrained network: nothing is trained, and its statistics have to be gathered."""

from __future__ import annotations

from typing import Any

import pytest


def test_nothing_is_trained(lab: Any) -> None:
    method = lab.build("random_init")
    assert not method.trainable
    assert method.views == ()
    assert method.parameter_groups() == []
    with pytest.raises(RuntimeError, match="trains nothing"):
        method(lab.batch(method), lab.step())
