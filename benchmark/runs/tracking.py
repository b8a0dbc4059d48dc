"""Shows runs in TensorBoard, Weights & Biases or MLflow as well, through Fabric's loggers. Off by default.

A tracker receives the lines of the history, the throughput and the final scores. It changes no result; one that fails
is dropped. Nothing leaves the machine unless the user's environment says so: `WANDB_MODE=online` for
Weights & Biases, `MLFLOW_TRACKING_URI` for MLflow.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from benchmark.errors import UserError
from benchmark.files.parse import dump_yaml
from benchmark.text import first_line
from methods.config import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lightning_fabric.loggers import Logger

    from benchmark.cost.ledger import Ledger
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.ranks import Ranks

_log = logging.getLogger(__name__)
FOLDER = "tracking"  # below the experiment's results
End = Literal["success", "failed", "interrupted"]


@dataclass(frozen=True)
class Subject:
    """The run that a tracker is opened for, and the folder where the experiment's local trackers write.

    `resumed_step` is the step that the run resumes from; None at its start.
    """

    folder: Path
    spec: RunSpec
    resumed_step: int | None = None

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return f"seed-{self.spec.seed}-{self.spec.key[:8]}"


def _tensorboard(subject: Subject) -> Any:
    from lightning_fabric.loggers import TensorBoardLogger

    # Steps that an interrupted run has written, and that this one writes again, are removed.
    first = 0 if subject.resumed_step is None else subject.resumed_step + 1
    root, entry = subject.folder / "tensorboard", subject.spec.entry.name
    logger = TensorBoardLogger(root, entry, subject.name, default_hp_metric=False, purge_step=first)
    if subject.resumed_step is None:
        text = dump_yaml(subject.spec.config())
        logger.experiment.add_text("configuration", f"```yaml\n{text}```")
    return logger


def _wandb(subject: Subject) -> Any:
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    spec = subject.spec
    subject.folder.mkdir(parents=True, exist_ok=True)
    mode: Any = os.environ.get("WANDB_MODE", "offline")  # W&B itself refuses unknown modes
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", spec.experiment.name),
        group=spec.entry.name,
        name=f"{spec.entry.name}-{subject.name}",
        id=subject.spec.key,
        resume=None if subject.resumed_step is None else "allow",
        dir=subject.folder,
        mode=mode,
        config=spec.config(),
        # What it samples by itself would slow the run down.
        settings=wandb.Settings(
            console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True
        ),
    )
    run.define_metric("trainer/global_step")  # under which the logger sends steps
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return WandbLogger(experiment=run)


def _mlflow(subject: Subject) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from pytorch_lightning.loggers import MLFlowLogger

    for name in ("mlflow", "alembic", "pytorch_lightning.loggers.mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they announce each table and experiment that they create
    spec, address = subject.spec, os.environ.get("MLFLOW_TRACKING_URI")
    local = subject.folder.resolve()
    if not address:
        local.mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{local / 'mlflow.db'}"
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", spec.experiment.name)
    earlier = None
    if subject.resumed_step is not None:
        client = mlflow.MlflowClient(address)
        known = client.get_experiment_by_name(experiment)
        query = f"tags.bench_key = '{spec.key}'"
        runs = client.search_runs([known.experiment_id], query, max_results=1) if known else []
        for latest in runs:
            earlier = latest.info.run_id
            client.update_run(earlier, status="RUNNING")
    logger = MLFlowLogger(
        experiment_name=experiment,
        run_name=f"{spec.entry.name}-{subject.name}",
        run_id=earlier,
        tracking_uri=address,
        artifact_location=(local / "mlflow").as_uri() if "MLFLOW_TRACKING_URI" not in os.environ else None,
        tags={"bench_key": subject.spec.key, "entry": spec.entry.name},
    )
    if earlier is None:  # parameters may not be set twice
        logger.log_hyperparams(spec.config())
    return logger


def _close_wandb(logger: Any, status: End) -> None:
    logger.experiment.finish(exit_code={"success": 0, "failed": 1, "interrupted": 130}[status])


def _close_mlflow(logger: Any, status: End) -> None:
    logger.finalize("KILLED" if status == "interrupted" else status)


@dataclass(frozen=True)
class Tool:
    """What a tracker is, the modules that it needs, and how a run's logger is opened and closed."""

    modules: tuple[str, ...]
    open: Callable[[Subject], Logger]
    close: Callable[[Logger, End], None] = lambda logger, status: logger.finalize(status)
    description: str = ""

    def missing(self) -> list[str]:
        """The modules that are not installed."""
        return [module for module in self.modules if not _is_installed(module)]


TOOLS: dict[str, Tool] = {
    "tensorboard": Tool(("tensorboard",), _tensorboard, description="TensorBoard: files in the results folder"),
    "wandb": Tool(
        ("wandb", "pytorch_lightning"),
        _wandb,
        _close_wandb,
        "Weights & Biases: offline, unless WANDB_MODE says otherwise",
    ),
    "mlflow": Tool(
        ("mlflow", "pytorch_lightning", "alembic"),
        _mlflow,
        _close_mlflow,
        "MLflow: a database in the results folder, unless MLFLOW_TRACKING_URI names another",
    ),
}


def chosen_tools(options: Sequence[str] | None) -> tuple[str, ...]:
    """The trackers that the command line names, each once.

    Raises:
        UserError: there is no such tracker, or what it needs is not installed.
    """
    words = [word.strip() for text in options or [] for word in text.split(",")]
    for word in words:
        if word not in TOOLS:
            raise UserError(f"--track: unknown tracker '{word}'; {nearest(word, TOOLS)}")
        if missing := TOOLS[word].missing():
            raise UserError(
                f"--track {word}: {', '.join(missing)} is not installed (pip install 'cnn-jepa-bench[{word}]')"
            )
    return tuple(dict.fromkeys(words))


def _is_installed(module: str) -> bool:
    """Whether a module is installed; a mere folder of that name (such as W&B's own `wandb/`) does not count."""
    spec = find_spec(module)
    return spec is not None and spec.origin is not None


class Tracker:
    """Sends a run to its trackers. Its methods never fail; their time is charged to the ledger's logging.

    On several ranks each calls the same methods: the first one sends and the others wait, so that no rank's training
    is charged with the time.

    Args:
        tools: names from `TOOLS`; without any nothing happens.
    """

    def __init__(self, tools: Sequence[str], ledger: Ledger, ranks: Ranks) -> None:
        self._tools, self._ledger, self._ranks = tools, ledger, ranks
        self._open: dict[str, Logger] = {}
        self._sent = self._step = 0

    def open(self, subject: Subject, sent: int = 0) -> None:
        """Opens the trackers, to send what follows the first `sent` lines of the history."""
        self._sent, self._step = sent, subject.resumed_step or 0
        self._ledger.tracked |= bool(self._tools)
        self._together(lambda: self._open_all(subject))

    def follow(self, history: Sequence[Mapping[str, Any]], images_per_second: float | None = None) -> None:
        """Sends the new lines of the history; the throughput belongs to the last of them."""
        new, self._sent = history[self._sent :], len(history)
        if new:
            self._together(lambda: self._send_lines(new, images_per_second))

    def finish(self, scores: Mapping[str, Mapping[str, Any]], *, well: bool) -> None:
        """Sends final numbers, by group, and ends."""

        def finish() -> None:
            self._send({name: x for group, values in scores.items() for name, x in _numbers(group, values).items()})
            self._close_all("success" if well else "failed")

        self._together(finish)

    def give_up(self, *, interrupted: bool) -> None:
        """Ends after an exception, without waiting for the other ranks, which may have ended."""
        if self._open:
            with self._ledger.phase("logging"):
                self._close_all("interrupted" if interrupted else "failed")

    def _together(self, work: Callable[[], None]) -> None:
        if self._tools:
            with self._ledger.phase("logging"):
                self._ranks.first(work)

    def _open_all(self, subject: Subject) -> None:
        for name in self._tools:
            with _surviving(name):
                self._open[name] = TOOLS[name].open(subject)

    def _send_lines(self, lines: Sequence[Mapping[str, Any]], images_per_second: float | None) -> None:
        for line in lines:
            self._step = line["step"]
            kind = "validation" if line["kind"] == "evaluation" else line["kind"]
            values = _numbers(kind, {name: value for name, value in line.items() if name != "step"})
            if line is lines[-1] and kind == "train" and images_per_second is not None:
                values["train/images_per_second"] = images_per_second
            self._send(values)

    def _send(self, values: dict[str, float]) -> None:
        for name, logger in list(self._open.items()) if values else []:
            del self._open[name]
            with _surviving(name):
                logger.log_metrics(values, self._step)
                self._open[name] = logger

    def _close_all(self, status: End) -> None:
        while self._open:
            name, logger = self._open.popitem()
            with _surviving(name):
                TOOLS[name].close(logger, status)


@contextmanager
def _surviving(name: str) -> Iterator[None]:
    """Reports what a tracker raises inside; the run continues without that tracker."""
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        _log.warning("--track %s: dropped for this run (%s); the run continues", name, reason)


def _numbers(group: str, values: Mapping[str, Any]) -> dict[str, float]:
    """The values that are numbers, as `group/name`."""
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {f"{group}/{name}": float(value) for name, value in numbers.items() if not isinstance(value, bool)}
