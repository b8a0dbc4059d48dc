"""What the ranks behind the first one do: take part in the runs that it orders, until there are no more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from benchmark.errors import FirstFailedError, GroupLostError, Interrupted, UserError
from benchmark.experiment.run_spec import plan_runs, resolve_precision
from benchmark.machine.ranks import held
from benchmark.records.folder import run_folder
from benchmark.runs.run import Run

if TYPE_CHECKING:
    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import Resolved, RunSpec
    from benchmark.experiment.spec import Experiment
    from benchmark.machine.interrupt import StopSignal
    from benchmark.machine.ranks import Ranks
    from benchmark.runs.progress import Reporter
    from benchmark.runs.runner import Options

_log = logging.getLogger(__name__)


def follow(
    experiment: Experiment,
    entries: list[Resolved],
    dataset: Dataset,
    options: Options,
    reporter: Reporter,
    stop_signal: StopSignal,
    ranks: Ranks,
) -> None:
    """Takes part in the runs of an experiment.

    Args:
        experiment: what is asked; the same on all ranks, like all the rest.
        entries: its entries, resolved.
        dataset: loaded.
        options: where and how.
        reporter: says nothing here.
        stop_signal: is asked between steps.
        ranks: all of them, seen from this one.

    Raises:
        UserError: this machine has other data or another configuration than the first rank's, or its device is in use.
        Interrupted: the user interrupted.
        GroupLostError: another process has ended.
    """
    digest = dataset.manifest.digest
    plans = plan_runs(resolve_precision(experiment, ranks.device), entries, dataset.image_size)
    by_key = {plan.key(digest): plan for plan in plans}
    with held(options.device, ranks, share=options.share) as (_, locks):
        while (key := ranks.order()) is not None:
            if key not in by_key:
                raise UserError("this machine has another configuration, precision or dataset than the first rank's")
            well = _take_part(by_key[key], dataset, options, reporter, stop_signal, ranks)
            if ranks.finish_run(any([lock.was_shared() for lock in locks])) is None:
                # What failed here alone is an exit code, by which a launcher ends those who still wait for this rank.
                raise GroupLostError("another device's process has ended") if well else SystemExit(1)


def _take_part(
    plan: RunSpec,
    dataset: Dataset,
    options: Options,
    reporter: Reporter,
    stop_signal: StopSignal,
    ranks: Ranks,
) -> bool:
    """The same calls in the same order as the first rank's, which alone keeps what comes of them.

    Returns:
        Whether all went well here.
    """
    folder = run_folder(
        options.out, plan.experiment.name, plan.entry.name, plan.seed, plan.key(dataset.manifest.digest)
    )
    run: Run | None = None
    try:
        run = Run(plan, dataset, ranks.device, folder, reporter, stop_signal, ranks, track=options.track)
        status, _, _ = run.carry_out()
        if status != "diverged":
            for _, work in run.afterwards:
                work()
    except (Interrupted, GroupLostError):
        raise
    except FirstFailedError:
        return True  # the first rank says and records what it was
    except Exception as error:
        if options.debug:
            raise
        _log.error("device %d of %d: %s: %s", ranks.rank, ranks.size, type(error).__name__, error)
        return False
    finally:
        if run is not None:
            run.close()
    return True
