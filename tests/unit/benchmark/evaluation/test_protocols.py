from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from benchmark.evaluation.protocols import FURTHER, PROTOCOLS, TRANSFER


def test_the_table_is_read_without_torch():
    code = (
        "import sys; from benchmark.evaluation.protocols import FURTHER; assert FURTHER; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_run_is_scored_by_two_protocols_and_the_others_are_run_on_request():
    assert list(PROTOCOLS) == ["linear-v1", "knn-v1"]
    assert TRANSFER in FURTHER
    assert not set(PROTOCOLS) & set(FURTHER)


@pytest.mark.parametrize("name", [*PROTOCOLS, *FURTHER])
def test_a_protocol_is_versioned_and_its_function_exists(name):
    protocol = {**PROTOCOLS, **FURTHER}[name]
    assert name.endswith(f"-v{protocol.version}") or name == "linear-cnnjepa"
    assert list(inspect.signature(protocol.load()).parameters) == ["subject"]
