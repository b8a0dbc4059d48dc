"""The jobs of a sweep: workers that take trials from its queue, one at most for each trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.cli.options import numbers
from benchmark.cli.request import given
from benchmark.cli.submit_options import absolute, without_cluster
from benchmark.cluster.engines import open_engine
from benchmark.cluster.requested import DEFAULT
from benchmark.cluster.submit import Submission, settled
from benchmark.data.spec import check_request
from benchmark.errors import UserError
from benchmark.experiment.explain import with_settings
from benchmark.experiment.files import find_experiment, shipped_sweeps
from benchmark.files.disk import check_writable
from benchmark.records.jobs import JobRecord
from benchmark.records.study import STUDY_FILE, read_study
from benchmark.sweep.spec import load_sweep, read_base

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.cli.submit_options import Wanted

_FINAL = ("complete", "pruned")


def sweep_submission(wanted: Wanted, config: str) -> Submission:
    """The jobs of a sweep. Each takes trials until none is left; the last to end trains the fresh seeds, if any.

    Raises:
        UserError: the sweep's files or the options are wrong, or the engine is missing.
    """
    request = wanted.request
    if request.methods is not None:
        raise UserError("--methods: a sweep's entries are in its file")
    spec, path = load_sweep(config, seeds=numbers(request.seeds))
    files = (path, find_experiment(spec.experiment, path.parent))
    settings = request.settings or []
    base = with_settings(lambda settings: read_base(spec, path, request.budget, settings), settings, *files)
    check_request(base.experiment.dataset, request.data, request.download)
    assert request.out is not None
    results = request.out.absolute() / spec.name
    check_writable(results, "choose another --out")
    cluster = wanted.cluster(base.experiment.cluster.model_dump(exclude_unset=True))
    engine = open_engine(wanted.on, wanted.address)
    engine.check(cluster)
    pinned = wanted.pinned(base.experiment.precision, cluster)
    name = config if config in shipped_sweeps() else absolute(config)
    arguments = wanted.arguments("sweep", name, settings=pinned)
    arguments += given("--costs", request.costs and request.costs.absolute())
    if wanted.on != "local":
        # SQLite needs file locks that hold between machines.
        arguments += ["--storage", f"journal:{results / 'study.journal'}"]
        results.mkdir(parents=True, exist_ok=True)
    arguments += ["--share"] * (wanted.on != "local" or request.share)
    from benchmark.sweep.space import resolve_sweep

    resolved = resolve_sweep(spec, path, budget=request.budget, settings=without_cluster(settings))
    trials = sum(len(list(space.points())) for space in resolved.spaces)
    left = trials - _decided(results)
    if left == 0 and spec.confirm_seeds:
        left = 1  # the runs on fresh seeds
    count = min(left, cluster.parallel or left)
    jobs = [
        (
            f"worker-{number}",
            settled(
                JobRecord(kind="sweep", name=f"worker {number} of {spec.name}", arguments=arguments),
                cluster.time or DEFAULT,
                cluster,
                wanted.on,
            ),
        )
        for number in range(1, count + 1)
    ]
    return Submission(results, jobs, wanted.on, engine, cluster, wanted.reporter.say)


def _decided(results: Path) -> int:
    """How many trials have their outcome."""
    if not (results / STUDY_FILE).is_file():
        return 0
    record = read_study(results / STUDY_FILE)
    return sum(trial.state in _FINAL for study in record.studies for trial in study.trials)
