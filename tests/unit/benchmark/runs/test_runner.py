"""How runs are executed, recorded, resumed, and what failures do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.errors import FirstFailedError, GroupLostError, Interrupted, UserError
from benchmark.records.folder import read_record
from benchmark.records.locks import folder_lock
from benchmark.runs import runner
from benchmark.runs.runner import execute, finished_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.runs.runner import RunContext


@pytest.mark.slow
def test_a_run_is_executed_once_and_then_read(make_specs: Callable[..., list[RunSpec]], context: RunContext) -> None:
    (spec,) = make_specs("simclr")
    record = execute(spec, context, (3, 7))
    assert record is not None and (record.status, record.key) == ("completed", spec.key)
    assert record.ledger is not None and (record.ledger.steps, record.ledger.samples) == (2, 16)
    assert "started simclr 3/7 None" in context.reporter.lines  # type: ignore[attr-defined]
    folder = spec.folder(context.options.out)
    assert read_record(folder / "record.json") == record
    left = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "environment.json", "history.jsonl", "encoder.safetensors", "glimpse.npz"} <= left
    assert not {"state.pt", ".lock", "traceback.txt"} & left
    before = len(context.reporter.lines)  # type: ignore[attr-defined]
    assert execute(spec, context) == record
    assert len(context.reporter.lines) == before  # type: ignore[attr-defined]


def test_a_run_that_another_process_has_is_skipped(
    make_specs: Callable[..., list[RunSpec]], context: RunContext
) -> None:
    (spec,) = make_specs("random_init")
    folder = spec.folder(context.options.out)
    with folder_lock(folder) as mine:  # a second lock is refused in the same process too
        assert mine
        assert execute(spec, context) is None
    assert context.reporter.lines == [f"{folder}: is already running in another process; skipped"]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_failure_is_a_record_with_its_traceback_and_is_tried_again(
    make_specs: Callable[..., list[RunSpec]], context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spec,) = make_specs("random_init")

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "Run", fail)
        record = execute(spec, context)
    assert record is not None
    assert (record.status, record.cause, record.message) == ("failed", "out_of_memory", "MemoryError: no more")
    folder = spec.folder(context.options.out)
    assert "MemoryError: no more" in (folder / "traceback.txt").read_text()
    assert finished_record(context.options.out, spec) is None
    again = execute(spec, context)
    assert again is not None and again.status == "completed"
    assert read_record(folder / "record.failed-1.json").status == "failed"


@pytest.mark.parametrize("error", [Interrupted(), UserError("disk"), KeyboardInterrupt()])
def test_what_ends_the_command_leaves_no_record(
    make_specs: Callable[..., list[RunSpec]],
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    (spec,) = make_specs("random_init")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(runner, "Run", fail)
    with pytest.raises(type(error)):
        execute(spec, context)
    assert not (spec.folder(context.options.out) / "record.json").exists()


def test_a_disk_that_cannot_be_written_is_a_users_error(
    make_specs: Callable[..., list[RunSpec]], context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spec,) = make_specs("random_init")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runner, "prepare_folder", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        execute(spec, context)


@pytest.mark.slow
def test_a_trial_serves_no_result_but_a_result_serves_as_a_trial(
    make_specs: Callable[..., list[RunSpec]], context: RunContext
) -> None:
    (spec,) = make_specs("random_init")
    trial = replace(spec, purpose="trial")
    record = execute(trial, context)
    assert record is not None and record.metrics is None and record.trial_metrics is not None
    assert finished_record(context.options.out, trial) == record
    assert finished_record(context.options.out, spec) is None
    result = execute(spec, context)
    assert result is not None and result.metrics is not None
    assert finished_record(context.options.out, trial) == result
    assert (spec.folder(context.options.out) / "record.trial-1.json").is_file()


class _SecondRank:
    """The second of two ranks, with made-up answers of the first."""

    size, rank, is_first = 2, 1, False

    def __init__(self, answers: list[Any], *, all_come: bool) -> None:
        self.answers, self.all_come = answers, all_come
        self.begun = 0

    def first(self, work: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def begin_run(self) -> None:
        self.begun += 1

    def finish_run(self, shared: bool) -> bool | None:
        return shared if self.all_come else None


def test_another_rank_follows_the_first_ones_decision(
    make_specs: Callable[..., list[RunSpec]], with_context: Callable[..., RunContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    (spec,) = make_specs("random_init")
    ranks: Any = _SecondRank([False], all_come=True)
    assert execute(spec, with_context(ranks=ranks)) is None and ranks.begun == 0
    ranks = _SecondRank([FirstFailedError("the first rank has ended")], all_come=True)
    with pytest.raises(FirstFailedError):
        execute(spec, with_context(ranks=ranks))
    # The first one's part failed: this one waits, and continues with the next run.
    ranks = _SecondRank([True, FirstFailedError("the first rank's part of the run failed")], all_come=True)
    assert execute(spec, with_context(ranks=ranks)) is None and ranks.begun == 1
    assert not spec.folder(with_context().options.out).joinpath("record.json").exists()
    # The first one has ended.
    ranks = _SecondRank([True, FirstFailedError("the first rank's part of the run failed")], all_come=False)
    with pytest.raises(GroupLostError):
        execute(spec, with_context(ranks=ranks))


def test_a_rank_that_fails_alone_ends_with_an_exit_code(
    make_specs: Callable[..., list[RunSpec]], with_context: Callable[..., RunContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    (spec,) = make_specs("random_init")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("on this one alone")

    monkeypatch.setattr(runner, "Run", fail)
    ranks: Any = _SecondRank([True, None], all_come=False)
    ranks.device = None
    with pytest.raises(SystemExit) as ended:
        execute(spec, with_context(ranks=ranks))
    assert ended.value.code == 1
