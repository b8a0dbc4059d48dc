"""Errors have classes of their own, which survive the way from another process."""

from __future__ import annotations

import pickle

import pytest

from benchmark.errors import FirstFailedError, GroupLostError, Interrupted, UserError
from benchmark.machine.locks import DeviceInUseError


@pytest.mark.parametrize("kind", [FirstFailedError, GroupLostError, Interrupted])
def test_only_a_users_error_is_one(kind: type[Exception]) -> None:
    assert not issubclass(kind, UserError)  # which would end the command with exit code 2
    assert not issubclass(kind, RuntimeError)  # which a failed run is recorded for
    assert issubclass(DeviceInUseError, UserError)


def test_the_message_survives_another_process() -> None:
    error = pickle.loads(pickle.dumps(UserError("a.yaml: no such file")))
    assert (type(error), str(error)) == (UserError, "a.yaml: no such file")
