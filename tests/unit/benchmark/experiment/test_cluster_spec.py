"""The `cluster:` section of an experiment."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.errors import UserError
from benchmark.experiment.cluster_spec import ClusterSpec
from benchmark.experiment.explain import validate


def test_times_are_durations_and_a_process_goes_with_each_gpu() -> None:
    cluster = ClusterSpec.model_validate({"time": "1h30m", "notice": "5m", "gpus": 4, "nodes": 2})
    assert (cluster.time, cluster.notice, cluster.local_size, cluster.size) == (5400.0, 300.0, 4, 8)
    assert ClusterSpec(tasks=2).size == 2 and ClusterSpec().size == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"partiton": "gpu"}, "unknown key 'partiton'; did you mean 'partition'"),
        ({"time": "2 hours"}, "'2 hours' is not a duration"),
        ({"time": 60, "notice": 90}, "notice is 90 s, but time is 60 s"),
        ({"sbatch": {"mem": "4G"}}, r"'mem' is set by cluster\.memory"),
        ({"sbatch": {"array": "0-3"}}, "'array' is set by bench submit itself"),
        ({"sbatch": {"gpus": 2}}, r"'gpus' is set by cluster\.gpus"),
        ({"sbatch": {"no-requeue": True}}, "'no-requeue' is set by bench submit itself"),
        ({"time": 4}, "time is 4 seconds; expected at least 60, for instance 4h"),
        ({"time": "10s"}, "time is 10 seconds; expected at least 60, for instance 4h"),
        ({"memory": "32G"}, "memory is '32G'; expected a number of GB, for instance 32"),
        ({"notice": "soon"}, "'soon' is not a duration"),
        ({"gpus": -1}, "gpus is -1"),
        ({"partition": "gpu\nrm"}, r"partition is 'gpu\\nrm'; expected one line of text"),
        ({"partition": ""}, "partition is ''; expected one line of text"),
        ({"sbatch": {"qos": "low\n"}}, "expected one line of text"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(ClusterSpec, values, "cluster")
