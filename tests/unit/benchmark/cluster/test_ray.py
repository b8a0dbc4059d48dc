"""What a Ray task asks for; tests/integration/test_submit_ray.py runs some."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import UserError
from benchmark.experiment.cluster_spec import ClusterSpec
from benchmark.records.jobs import JobRecord

pytest.importorskip("ray", reason="ray is not installed: pip install 'cnn-jepa-bench[ray]'")
from benchmark.cluster import ray as ray_engine
from benchmark.cluster.ray import Ray


def test_a_task_asks_for_what_the_section_says() -> None:
    cluster = ClusterSpec(gpus=2, cpus=4, memory=8, resources={"fast": 1.0})
    assert ray_engine._asked(cluster) == {
        "num_cpus": 8, "num_gpus": 2, "memory": 8 * 2**30, "resources": {"fast": 1.0},
    }  # fmt: skip
    text = Ray().script([(Path("jobs/a"), JobRecord(kind="run", name="a", arguments=[]))], cluster)
    assert text.startswith("# num_cpus=8, num_gpus=2, ") and text.endswith("-m benchmark.cluster.attempt jobs/a\n")


def test_several_nodes_are_refused() -> None:
    with pytest.raises(UserError, match=r"a Ray task has one node; expected 1, or --on slurm"):
        Ray().check(ClusterSpec(nodes=2))


def test_an_address_where_nothing_answers_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        for known in (address, f"ray://{address}", "auto", None):
            Ray(known).check(ClusterSpec())
    with pytest.raises(UserError, match=f"^--address is '{address}', but nothing answers there .* HOST:PORT"):
        Ray(address).check(ClusterSpec())
    with pytest.raises(UserError, match=r"^--address is '127\.0\.0\.1:70000', but nothing answers there"):
        Ray("127.0.0.1:70000").check(ClusterSpec())
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"^RAY_ADDRESS is '{address}'"):
        Ray().check(ClusterSpec())


def test_a_task_that_no_node_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes: list[dict[str, Any]] = [
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 64}},
    ]
    monkeypatch.setattr(ray_engine.ray, "nodes", lambda: nodes)
    ray_engine._check_resources(ClusterSpec(cpus=2))
    with pytest.raises(UserError, match="each job asks for 4 CPU, but no node has more than 2"):
        ray_engine._check_resources(ClusterSpec(cpus=4))
