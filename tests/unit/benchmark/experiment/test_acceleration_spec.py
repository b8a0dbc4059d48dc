"""How the work of a step is given to the device, as configured."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from benchmark.experiment.acceleration_spec import AccelerationSpec


def test_nothing_is_accelerated_unless_asked_for() -> None:
    assert AccelerationSpec().model_dump() == {"networks": "eager", "views": "eager", "sparse": "torch"}
    assert AccelerationSpec(networks="graphs").model_dump(exclude_defaults=True) == {"networks": "graphs"}


def test_what_is_no_choice_is_refused() -> None:
    with pytest.raises(ValidationError, match="'eager', 'compiled' or 'graphs'"):
        AccelerationSpec.model_validate({"networks": "fast"})
    with pytest.raises(ValidationError, match="network"):
        AccelerationSpec.model_validate({"network": "graphs"})
