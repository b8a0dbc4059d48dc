"""What `bench submit` submits: the runs of an experiment, further protocols, the measurement of step costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmark.cli import options
from benchmark.cli.jobs_view import print_plan
from benchmark.cli.request import load_images
from benchmark.cli.submit_options import Wanted, absolute, out_of, without_cluster
from benchmark.cluster.engines import open_engine
from benchmark.errors import UserError
from benchmark.experiment.spec import override
from benchmark.records.jobs import JobRecord

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.cluster.requested import PlannedJob
    from benchmark.cluster.submit import Planned, Submission


def run_submission(wanted: Wanted, *, claim: bool) -> tuple[Submission, list[PlannedJob]]:
    """The jobs of an experiment's runs, and their times, before anything is submitted.

    Args:
        claim: write down that the results folder is this experiment's; else nothing is written.
    """
    # Whether a device is free is looked for when jobs are submitted, and where there is one for each job.
    request = replace(wanted.request, out=out_of(wanted.request), share=True)
    experiment = request.experiment()
    cluster = wanted.cluster(experiment.cluster.model_dump(exclude_unset=True))
    engine = open_engine(wanted.on, wanted.address)
    engine.check(cluster)
    pinned = wanted.pinned(experiment.precision, cluster)
    request = replace(request, settings=[*(request.settings or []), *pinned])
    if wanted.on != "local":
        request = replace(request, device="auto")  # the nodes' devices are not this machine's
    experiment, entries = request.read()
    from benchmark.cluster.requested import plan_jobs
    from benchmark.cluster.submit import Submission, run_jobs
    from benchmark.experiment.entries import check_devices
    from benchmark.experiment.run_spec import plan_runs, priced
    from benchmark.machine.devices import choose_device
    from benchmark.machine.environment import hardware
    from benchmark.records.cost import find_costs
    from benchmark.runs.claim import claim_folder
    from benchmark.runs.prices import choose_cost, keep_beside

    check_devices(experiment, entries, "cuda" if cluster.gpus else "cpu", cluster.size)
    dataset = load_images(
        experiment.dataset, request.data, wanted.reporter, download=request.download, on_error=request.on_error,
        outcome="nothing was submitted",
    )  # fmt: skip
    out, here = out_of(request), choose_device("cpu")
    results = out / experiment.name
    specs = plan_runs(experiment, entries, dataset, here)
    source = request.cost_source(experiment, out, cluster.size)
    price = choose_cost(specs, source, hardware(here, cluster.size, experiment.precision), wanted.reporter.say)
    arguments = wanted.arguments("run", absolute(request.config), settings=pinned)
    if price is not None:
        if claim:
            keep_beside(price, results)
        kept = [path for path, found in find_costs([results])[0] if found.key == price.key]
        arguments += ["--costs", str(next(iter(kept), source.path.absolute()))]
        specs = priced(specs, price)
    if claim:
        claim_folder(out, experiment, entries, dataset)
    planned = plan_jobs(specs, cluster, dataset, source)
    for tool in wanted.track:
        arguments += ["--track", tool]
    arguments += ["--share"] * wanted.shares(cluster)
    jobs = run_jobs(planned, arguments, out, cluster, wanted.on)
    return Submission(results, jobs, wanted.on, engine, cluster, wanted.reporter.say), planned


def evaluation_submission(wanted: Wanted, targets: list[Path], protocols: str | None) -> Submission:
    """A job for each finished run that lacks one of the protocols."""
    named = tuple(options.words(protocols, "--protocols") or ())
    if not named:
        raise UserError("--protocols is missing; see bench list protocols")
    from benchmark.cli.pages import read_results
    from benchmark.cluster.requested import DEFAULT
    from benchmark.cluster.submit import Submission, settled
    from benchmark.encoders.probe import unprobed
    from benchmark.evaluation.protocols import check_further, expanded

    names = expanded(named)
    check_further(names, None)
    data: dict[str, Any] = {}
    others = without_cluster(wanted.request.settings)
    if others:
        raise UserError(f"--set {others[0]}: with --evaluate, settings of the cluster alone")
    override(data, None, wanted.request.settings or [])
    cluster = wanted.cluster(data.get("cluster", {}))
    engine = open_engine(wanted.on, wanted.address)
    engine.check(cluster)
    runs, problems = read_results(targets)
    for problem in problems:
        wanted.reporter.say(f"left out: {problem}")
    folders = {path.parents[2] for path, _ in runs}
    if len(folders) != 1:
        raise UserError("--evaluate: one experiment's results at a time")
    jobs: list[Planned] = []
    for path, record in unprobed(runs, names):
        words = ["evaluate", str(path.parent.absolute()), "--protocols", ",".join(named)]
        words += [*wanted.places(), *["--share"] * wanted.shares(cluster)]
        label = f"{record.entry}, seed {record.seed}, {', '.join(named)}"
        job = JobRecord(kind="evaluate", name=label, arguments=words)
        folder = f"evaluate-{'-'.join(named)}-{record.entry}-seed-{record.seed}-{record.key[:8]}"
        jobs.append((folder, settled(job, cluster.time or DEFAULT, cluster, wanted.on)))
    return Submission(folders.pop().absolute(), jobs, wanted.on, engine, cluster, wanted.reporter.say)


def cost_submission(wanted: Wanted) -> Submission:
    """A job of `bench cost` on a node of each kind."""
    from benchmark.cluster.requested import DEFAULT
    from benchmark.cluster.submit import Submission, settled

    experiment = wanted.request.experiment()
    cluster = wanted.cluster(experiment.cluster.model_dump(exclude_unset=True))
    cluster = cluster.model_copy(update={"exclusive": True})  # nobody else's load in the measurement
    engine = open_engine(wanted.on, wanted.address)
    engine.check(cluster)
    jobs: list[Planned] = []
    for kind in cluster.measured or (cluster.constraint,):
        job = JobRecord(
            kind="cost",
            name="step costs" + (f" on {kind}" if kind else ""),
            arguments=[*wanted.arguments("cost", absolute(wanted.request.config)), *["--share"] * wanted.request.share],
            constraint=kind,
        )
        named = options.words(wanted.request.methods, "--methods") or ["all"]
        folder = f"cost-{kind or 'any'}-{'-'.join(named)}"
        jobs.append((folder, settled(job, cluster.time or DEFAULT, cluster, wanted.on)))
    results = out_of(wanted.request) / experiment.name
    return Submission(results, jobs, wanted.on, engine, cluster, wanted.reporter.say)


def plan_on(wanted: Wanted) -> None:
    """`bench plan CONFIG --on ENGINE`: the jobs, their time limits and device-hours."""
    submission, planned = run_submission(wanted, claim=False)
    missing = {name for name, _ in submission.missing()}
    print_plan(planned, [name in missing for name, _ in submission.jobs], submission.cluster)
