"""Where studies are kept: databases and journal files, opened and checked."""

from __future__ import annotations

import copy
import errno
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning, OptunaError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from benchmark.errors import UserError
from benchmark.files.disk import writing
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

HEARTBEAT = 10
"""Seconds between two signs of life of a trial, in a database."""
GRACE = 60
"""Seconds of silence after which a trial counts as dead."""
RETRIES = 3
"""How often a trial is tried again whose worker died during it (out of memory, a crash in a library, kill -9)."""
BEGUN = "begun"
"""A waiting trial's attribute: it was interrupted, and its runs may have saved states."""
_JOURNAL_ENDINGS = (".log", ".journal")


def check_storage(url: str) -> None:
    """Refuses an address that cannot be opened, without opening it.

    Raises:
        UserError: it is not an address, its driver is not installed, or a file's folder does not exist.
    """
    if (journal := _journal_path(url)) is not None:
        with writing(url):
            if not journal.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, "")
        return
    address = _address(url)
    file = address.database if address.get_backend_name() == "sqlite" else None
    if file and file != ":memory:" and not Path(file).parent.is_dir():
        raise _unusable(address, FileNotFoundError(f"no folder {Path(file).parent}"))
    try:
        address.get_dialect().import_dbapi()
    except (ImportError, SQLAlchemyError, AttributeError) as error:
        raise _unusable(address, error) from None


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


def _unusable(address: URL, error: Exception) -> UserError:
    """The error for a database that cannot be used; shows no password."""
    cause = error.__cause__ or error
    missing = isinstance(error, ImportError)
    problem = f"its driver is not installed ({cause})" if missing else f"cannot be used ({first_line(cause)})"
    return UserError(f"--storage {address.render_as_string(hide_password=True)}: {problem}")


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
    except (ImportError, SQLAlchemyError, OptunaError, ValueError, RuntimeError) as error:
        raise _unusable(address, error) from None  # a RuntimeError: another Optuna's tables


def _open_journal(path: Path) -> JournalStorage:
    """A journal file, made if it does not exist; `OSError` where it cannot be used, and nothing is added to others."""
    foreign = f"--storage {path}: is no journal of studies that this Optuna reads; expected one, or a new file's name"
    if path.exists():
        with path.open("rb") as file:
            line = file.readline()
        if line and b'"op_code"' not in line:
            raise UserError(foreign)
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, LookupError, TypeError, AssertionError):  # an AssertionError: a later Optuna's
        raise UserError(foreign) from None


@contextmanager
def failures() -> Iterator[None]:
    """Raises a `UserError` where a storage fails during a sweep (a database that is gone, a full disk)."""
    try:
        yield
    except (OptunaError, SQLAlchemyError) as error:
        reason = first_line(error.__cause__ or error)
        raise UserError(f"the study's storage failed ({reason}); the same command resumes from here") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Optuna: its heartbeat warns that it is experimental, and failures are reported here."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", module="optuna")
        yield


def retry_dead(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queues a trial again whose worker died during it, at most `RETRIES` times: the trial may be the reason."""
    with quiet():
        retry = RetryHeartbeatStaleTrialCallback(max_retry=RETRIES, inherit_intermediate_values=True)
        retry(study, without_worker(trial))


def without_worker(trial: FrozenTrial) -> FrozenTrial:
    """A copy of a trial that was begun and belongs to no worker any more."""
    trial = copy.deepcopy(trial)
    trial.user_attrs.pop("worker", None)
    trial.user_attrs[BEGUN] = True
    return trial


class BegunFirst(optuna.Study):
    """A study that takes the waiting trials that were begun and interrupted before those that were never begun.

    Optuna takes waiting trials in the order of their numbers, and one that is queued again has the last number.
    """

    def ask(self, fixed_distributions: dict[str, BaseDistribution] | None = None) -> optuna.Trial:
        """The next trial: a begun one that waits, or else Optuna's choice."""
        for trial in self.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if trial.user_attrs.get(BEGUN):
                with suppress(UpdateFinishedTrialError):  # another worker was faster
                    if self._storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
                        return optuna.Trial(self, trial._trial_id)
        return super().ask(fixed_distributions)
