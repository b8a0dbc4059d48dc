"""`bench submit --on ray` on a real Ray cluster of two nodes, one of which is lost during a run."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.records.jobs import attempts, find_jobs, job_state

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_run_on_a_lost_node_goes_on_on_another(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'cnn-jepa-bench[ray]'")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    import ray
    from ray._private.state import available_resources_per_node

    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "120")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = bench.config(budget={"steps": 40}, evaluation={"points": 4, "images": 100}, precision="32")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert bench("run", config, "--methods", "simclr", "--out", whole)[0] == 0
    # The first node, which stays, has no CPU. The run begins on one of the two others, which is then lost.
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    lost: list[bool] = []
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

        def lose() -> None:
            while not lost:
                folders = find_jobs([parts])
                if folders and (job_state(folders[0]).progress or 0.0) > 0.0:
                    free = available_resources_per_node()
                    busy = next(node for node in nodes if not free[node.node_id].get("CPU"))
                    cluster.remove_node(busy, allow_graceful=False)
                    lost.append(True)
                time.sleep(0.3)

        thread = threading.Thread(target=lose, daemon=True)
        thread.start()
        code, printed = bench(
            "submit", config, "--methods", "simclr", "--out", parts, "--on", "ray", "--address", cluster.address
        )
        lost.append(True)
        thread.join()
        assert code == 0 and "1 of 1 jobs done" in printed, printed

        code, printed = bench(
            "submit", config, "--methods", "byol", "--out", parts, "--on", "ray", "--address", cluster.address,
            "--set", "cluster.gpus=8",
        )  # fmt: skip
        assert code == 2 and "each job asks for 8 GPU, but no node has more than 0" in printed, printed
    finally:
        ray.shutdown()
        cluster.shutdown()
    (folder,) = [folder for folder in find_jobs([parts]) if "simclr" in folder.name]
    assert sum(line["event"] == "started" for line in attempts(folder)) == 2
    first, second = (bench.records(out)["simclr"] for out in (whole, parts))
    assert second.key == first.key and second.metrics == first.metrics
    assert bench.history(parts, "simclr") == bench.history(whole, "simclr")
