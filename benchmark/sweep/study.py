"""Storages of studies, their queues of trials, and how the trials of dead workers are queued again."""

from __future__ import annotations

import copy
import errno
import time
import uuid
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, OptunaError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from benchmark.errors import UserError
from benchmark.files import folder_lock, writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.sweep.question import Question
    from benchmark.sweep.space import Space

HEARTBEAT = 10
"""Seconds between two signs of life of a trial, in a database."""
GRACE = 60
"""Seconds of silence after which a trial counts as dead."""
RETRIES = 3
"""How often a trial is tried again whose worker died over it (out of memory, a crash in a library, kill -9)."""

_JOURNAL_ENDINGS = (".log", ".journal")
_LIVE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING)
_PATIENCE = 60.0  # seconds for another process that creates the same study
_WORKERS = ".workers"


def check_storage(url: str) -> None:
    """Refuses an address that cannot be opened, without opening it.

    Raises:
        UserError: it is not an address, its driver is not installed, or a journal's folder does not exist.
    """
    journal = _journal_path(url)
    if journal is not None:
        with writing(url):
            if not journal.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, "")
        return
    address = _address(url)
    try:
        address.get_dialect().import_dbapi()
    except ImportError as error:
        raise _no_driver(address, error) from None
    except (SQLAlchemyError, AttributeError) as error:
        raise UserError(f"--storage {_shown(address)}: cannot be used ({_reason(error)})") from None


def _journal_path(url: str) -> Path | None:
    """The journal file that an address means; None for a database."""
    if url.startswith("journal:") or ("://" not in url and url.endswith(_JOURNAL_ENDINGS)):
        return Path(url.removeprefix("journal:"))
    return None


def _address(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        expected = "sqlite:///PATH, postgresql+psycopg://USER@HOST/DATABASE, mysql+pymysql://..., or journal:PATH"
        raise UserError(f"--storage: not the address of a storage; expected {expected}") from None


def _shown(address: URL) -> str:
    return address.render_as_string(hide_password=True)


def _no_driver(address: URL, error: ImportError) -> UserError:
    return UserError(f"--storage {_shown(address)}: its driver is not installed ({error.__cause__ or error})")


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """The storage of a study.

    Args:
        url: of a database; a path that ends in `.log` or `.journal`, or `journal:PATH`, for a journal file; None for
            an SQLite file in the study's folder.
        folder: the study's; made if it does not exist.

    Raises:
        UserError: it cannot be reached; never shows a password.
    """
    with writing(url or folder):
        folder.mkdir(parents=True, exist_ok=True)
        journal = None if url is None else _journal_path(url)
        if journal is not None:
            return _open_journal(journal)
    url = url or f"sqlite:///{(folder / 'study.db').resolve()}"
    address = _address(url)
    options: dict[str, Any] = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        with quiet():
            return RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
                heartbeat_stale_trial_callback=retry_dead,
            )
    except ImportError as error:
        raise _no_driver(address, error) from None
    except (SQLAlchemyError, OptunaError, ValueError, RuntimeError) as error:  # the last: another Optuna's tables
        raise UserError(f"--storage {_shown(address)}: cannot be used ({_reason(error)})") from None


def _open_journal(path: Path) -> JournalStorage:
    """A journal file, made if it does not exist; OSError where it cannot be used.

    Raises:
        UserError: it is a file of another kind, to which nothing should be added.
    """
    foreign = f"--storage {path}: is no journal of studies that this Optuna reads; expected one, or a new file's name"
    if path.exists():
        with path.open("rb") as file:
            line = file.readline()
        if line and b'"op_code"' not in line:
            raise UserError(foreign)
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, LookupError, TypeError, AssertionError):  # the last: a later Optuna's
        raise UserError(foreign) from None


def _reason(error: BaseException) -> str:
    """Why a storage failed, in one line."""
    return next(iter(str(error.__cause__ or error).splitlines()), type(error).__name__)


@contextmanager
def failures() -> Iterator[None]:
    """Reports a storage that fails during a sweep (a database that is gone, a full disk).

    Raises:
        UserError: in place of what Optuna and SQLAlchemy raise.
    """
    try:
        yield
    except (OptunaError, SQLAlchemyError) as error:
        raise UserError(f"the study's storage failed ({_reason(error)}); the same command resumes from here") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's own words: its heartbeat calls itself experimental, and failures are ours to report."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", module="optuna")
        yield


def retry_dead(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queues a trial again whose worker died over it, at most `RETRIES` times: it may have been the trial's fault."""
    with quiet():
        retry = RetryHeartbeatStaleTrialCallback(max_retry=RETRIES, inherit_intermediate_values=True)
        retry(study, _without_worker(trial))


def _without_worker(trial: FrozenTrial) -> FrozenTrial:
    trial = copy.deepcopy(trial)
    trial.user_attrs.pop("worker", None)
    return trial


@dataclass(frozen=True)
class EntryTrials:
    """One entry's study in a storage, and its queue."""

    space: Space
    study: optuna.Study
    folder: Path
    heartbeat: bool

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Its trials, those alone that are points of the sweep, in order."""
        trials = self.study.get_trials(deepcopy=False, states=states or None)
        return [trial for trial in trials if "point" in trial.user_attrs]

    def outcomes(self) -> list[FrozenTrial]:
        """One trial per point, in the order of the points: the one that came furthest, of equal ones the last."""
        order = (*_LIVE, TrialState.FAIL)
        best: dict[int, FrozenTrial] = {}
        for trial in sorted(self.trials(), key=lambda trial: (order.index(trial.state), -trial.number)):
            best.setdefault(trial.user_attrs["point"], trial)
        return [best[point] for point in sorted(best)]

    def decided(self) -> tuple[int, int]:
        """How many points have their outcome (a value, or none for good), and how many there are."""
        states = [trial.state for trial in self.outcomes()]
        return sum(state in (TrialState.COMPLETE, TrialState.PRUNED) for state in states), len(states)

    def is_decided(self) -> bool:
        """Whether every point has its outcome."""
        done, points = self.decided()
        return done == points

    def top_up(self) -> None:
        """Queues every point that no trial stands for, and those whose trial failed."""
        alive = {trial.user_attrs["point"] for trial in self.trials(*_LIVE)}
        for number, point in enumerate(self.space.points()):
            if number not in alive:
                self.study.add_trial(
                    create_trial(
                        state=TrialState.WAITING,
                        user_attrs={"point": number},
                        system_attrs={} if point is None else {"fixed_params": self.space.encoded(point)},
                    )
                )

    def take_up_dead(self) -> None:
        """Queues the trials of dead workers again: their lock is free, or their heartbeat has stopped."""
        with quiet():
            optuna.storages.fail_stale_trials(self.study)
        for trial in self.trials(TrialState.RUNNING):
            if self.is_dead(trial):
                with suppress(UpdateFinishedTrialError, ValueError), quiet():  # somebody else was faster
                    self.study.tell(trial.number, state=TrialState.FAIL)
                    retry_dead(self.study, self.study.trials[trial.number])
                _remove_lock(self.folder / _WORKERS / str(trial.user_attrs.get("worker")))

    def put_back(self, number: int) -> None:
        """Queues a trial of this worker again that was interrupted."""
        trial = self.study.trials[number]
        if trial.state == TrialState.RUNNING:  # stopped before Optuna could take note
            with quiet():
                self.study.tell(number, state=TrialState.FAIL)
            trial = self.study.trials[number]
        if trial.state == TrialState.FAIL:
            trial = _without_worker(trial)
            self.study.add_trial(
                create_trial(
                    state=TrialState.WAITING,
                    params=trial.params,
                    distributions=trial.distributions,
                    user_attrs=trial.user_attrs,
                    system_attrs=trial.system_attrs,
                    intermediate_values=trial.intermediate_values,
                )
            )

    def is_dead(self, trial: FrozenTrial) -> bool:
        """Whether the worker of a running trial is known to have ended; on another machine nobody can know."""
        worker = trial.user_attrs.get("worker")
        if worker is None:  # killed before it could say who it was
            age = datetime.now() - (trial.datetime_start or datetime.now())
            return age > timedelta(seconds=GRACE)
        lock = self.folder / _WORKERS / worker
        if not lock.is_dir():
            return False
        with folder_lock(lock) as free:
            return free

    def can_be_waited_for(self, trial: FrozenTrial) -> bool:
        """Whether a running trial will end or be known to be dead: its worker has a lock here or a heartbeat."""
        worker = trial.user_attrs.get("worker")
        has_lock = worker is not None and (self.folder / _WORKERS / worker).is_dir()
        return has_lock or self.heartbeat


def open_study(storage: BaseStorage, space: Space, folder: Path, question: Question, *, multi: bool) -> EntryTrials:
    """The study of one entry, created with its queue or as it stands.

    Args:
        folder: of the study's results, where locks lie.
        question: a study answers no other one.
        multi: whether it has the cost as its second objective.

    Raises:
        UserError: the storage holds another study under this name.
    """
    name = f"{space.sweep.name}.{space.entry}"
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE] if multi else [StudyDirection.MAXIMIZE]
    with quiet():
        try:
            study = optuna.create_study(storage=storage, study_name=name, directions=directions)
        except DuplicatedStudyError:
            study = optuna.load_study(study_name=name, storage=storage)
            _wait_until_ready(study)
    before = study.user_attrs.get("asked")
    difference = None if before is None else question.differs_from(before)
    if difference is not None:
        key, stored, wanted = difference
        raise UserError(
            f"the storage holds another study '{name}': {key} is {stored!r} there and {wanted!r} here; "
            "give this one a name of its own with --study NAME"
        )
    trials = EntryTrials(space, study, folder, heartbeat=isinstance(storage, RDBStorage))
    with quiet():
        study.set_user_attr("asked", question.content)
        trials.top_up()
        study.set_user_attr("ready", True)
    return trials


def _wait_until_ready(study: optuna.Study) -> None:
    """Waits for the process that creates the study to fill its queue, unless that process has died."""
    end = time.monotonic() + _PATIENCE / 2
    while not study.user_attrs.get("ready") and time.monotonic() < end:
        time.sleep(0.2)


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Holds the study's folder while its queue or its tables are written.

    Raises:
        UserError: another process holds it for very long, or it cannot be written.
    """
    with writing(folder, "choose another --out"), folder_lock(folder, wait=_PATIENCE) as mine:
        if not mine:
            raise UserError(f"{folder}: another process holds it; try again later")
        yield


@contextmanager
def worker_lock(folder: Path) -> Iterator[str]:
    """A name for this process, and a lock that is free again as soon as it has ended, however it ends."""
    name = uuid.uuid4().hex[:12]
    place = folder / _WORKERS / name
    with folder_lock(place):
        try:
            yield name
        finally:
            _remove_lock(place)


def _remove_lock(place: Path) -> None:
    with suppress(OSError):
        (place / ".lock").unlink()
        place.rmdir()
        place.parent.rmdir()  # while another worker has its lock there, it stays
