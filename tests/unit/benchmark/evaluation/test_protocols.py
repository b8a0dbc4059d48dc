from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from benchmark.errors import UserError
from benchmark.evaluation.protocols import DENSE, FURTHER, GROUPS, PROTOCOLS, TRANSFER, check_further, expanded


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


def test_a_group_stands_for_its_protocols_each_once() -> None:
    assert expanded(["lowshot-v1"]) == ("lowshot-v1",)
    dense = GROUPS[DENSE]
    assert "segmentation-v1" in dense and "lowlevel-v1" not in dense
    assert expanded(["depth-v1", DENSE, "lowshot-v1"]) == (
        "depth-v1", *(name for name in dense if name != "depth-v1"), "lowshot-v1",
    )  # fmt: skip
    with pytest.raises(UserError, match=r"unknown protocol 'dens'; did you mean 'dense'\?"):
        check_further(expanded(["dens"]), None)
