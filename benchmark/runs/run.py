"""One run, built and trained: method, loop, probes, and the files it leaves in its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from benchmark.cost.memory import PeakMemory
from benchmark.cost.meter import Meter
from benchmark.cost.sources import sources
from benchmark.data.datasets import first_images
from benchmark.errors import Interrupted
from benchmark.evaluation.collapse import collapse
from benchmark.evaluation.evaluate import images_needed, point_subject, ready, score_point
from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.subject import probe_data
from benchmark.files.disk import write_atomically
from benchmark.machine.ranks import Ranks
from benchmark.records.seal import HISTORY_FILE
from benchmark.runs.build import build_method, build_training, make_ledger
from benchmark.runs.explorer_views import POOL, write_point
from benchmark.runs.measure import Measurements
from benchmark.runs.probing import ProbeClock
from benchmark.runs.scores import History, final_metrics
from benchmark.runs.tracking import FOLDER, Subject, Tracker
from benchmark.training.checkpoint import State, export_encoder, load_state, save_state
from benchmark.training.loop import Callbacks, Training, train
from benchmark.training.profile import warm_up

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from benchmark.data.datasets import Dataset
    from benchmark.evaluation.subject import FrozenSubject
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.interrupt import StopSignal
    from benchmark.records.heartbeat import Claim
    from benchmark.records.schema import Metrics, Status, TrialMetrics
    from benchmark.runs.progress import Reporter
    from methods.base import Encoder

_NOT_FINITE = "a loss or a feature was not finite"

Ending = tuple["Status", str | None, "Metrics | TrialMetrics | None"]
"""How a run ended, an explanation, and its scores."""

ShouldPrune = Callable[[Mapping[str, float]], bool]
"""Receives the validation scores of an evaluation point; whether the run is pruned there."""


def never_prune(scores: Mapping[str, float]) -> bool:
    """Every run is trained to its end."""
    return False


class Run(Callbacks):
    """A run in progress; the loop's callbacks. Resumes by itself if its folder holds a saved state of the same run.

    Several ranks train it together: each builds it and calls the same methods in the same order. The first one
    writes and probes while the others wait.

    Args:
        ranks: all processes of the run; this one alone by default.
        should_prune: called at each evaluation point but the last.
        track: names of trackers; the same on all ranks.
        claim: of its folder, on the first rank; checked before a state is saved.

    Attributes:
        memory: the peak of its training; probes are left out.
        point_data: what evaluation points score the primary encoder on: validation, and perhaps fewer training images.
        training: None for a method that trains nothing.
        resumed_at: the progress of the saved state that it resumes from; None at its start.
    """

    def __init__(
        self,
        spec: RunSpec,
        dataset: Dataset,
        device: torch.device,
        folder: Path,
        reporter: Reporter,
        stop_signal: StopSignal,
        ranks: Ranks | None = None,
        should_prune: ShouldPrune = never_prune,
        track: Sequence[str] = (),
        claim: Claim | None = None,
    ) -> None:
        self.ranks = ranks = ranks or Ranks(device)
        self.ledger = make_ledger(device, ranks.size)
        self.meter = Meter(sources(device, ranks.processes), lambda: self.ledger.training_time)
        self.spec, self.dataset, self.device, self.folder = spec, dataset, device, folder
        self._claim = claim
        self._reporter, self._stop_signal, self._should_prune = reporter, stop_signal, should_prune
        self.memory = PeakMemory(device)
        self.method = build_method(spec, dataset, ranks)
        self.probe_data = probe_data(dataset, spec.image_size)
        first = first_images(dataset.train, spec.experiment.evaluation.images)
        self.point_data = replace(self.probe_data, train=first, pretraining=first.images)
        self.training: Training | None = None
        self.measurements: Measurements | None = None
        if spec.method.trainable:
            self.training = build_training(spec, self.method, dataset, ranks, self.ledger)
            self.measurements = Measurements(self.training, dataset, folder)
        self.resumed_at = self._resume()
        self._tracker = Tracker(track, self.ledger, ranks)
        self._probes = ProbeClock(reporter)
        self._at_end: FrozenSubject | None = None  # the primary encoder at an evaluation point with the final weights

    def _resume(self) -> float | None:
        """Loads a saved state, the first rank's; returns its progress."""
        training = self.training
        if training is None:
            return None
        state = self.ranks.first(lambda: load_state(self.folder, self.spec.key, self._reporter.say))
        if state is None:
            return None
        self.method.load_state_dict(state.method)
        training.optimizer.load_state_dict(state.optimizer)
        training.step, training.history = state.step, state.history
        self.ledger.load_state_dict(state.ledger)
        training.elapsed = self.ledger.training_time
        self.meter.load_state_dict(state.ledger["meter"])
        self._write_history()  # cut back to the saved step
        # From the last evaluation, since under a budget of time progress advances while a state is saved, and not from
        # a number in the state, since `evaluation.points` may have changed.
        reached = max((line["progress"] for line in state.history if line["kind"] == "evaluation"), default=0.0)
        training.points_done = math.floor(reached * self.spec.experiment.evaluation.points + 1e-9)
        return training.progress

    def close(self) -> None:
        """Ends the thread that reads batches ahead."""
        if self.training is not None:
            self.training.batches.__exit__(None, None, None)

    def train_and_test(self) -> Ending:
        """Trains, scores the encoders once, and writes everything but the record.

        A trial is scored on the validation split, every other run on the test split.

        Raises:
            Interrupted: the user interrupted; the state is saved.
        """
        history = self.training.history if self.training else []
        resumed = self.training.step if self.training and self.ledger.resumed else None
        self._tracker.open(Subject(self.folder.parents[1] / FOLDER, self.spec, resumed), sent=len(history))
        try:
            with self.meter:
                ending = self._train_and_test(history)
        except NonFiniteError:
            self._write_history()
            ending = "diverged", _NOT_FINITE, None
        except Exception as error:
            self._tracker.give_up(interrupted=isinstance(error, Interrupted))
            raise
        self._tracker.follow(history)
        self._tracker.finish(self._final_numbers(ending[2]), well=ending[0] != "diverged")
        return ending

    def _train_and_test(self, history: History) -> Ending:
        collapsed: str | None = None
        if self.training is not None:
            ended = self._train(self.training)
            if ended == "diverged":
                return ended, _NOT_FINITE, None
            if ended == "pruned":
                return ended, f"pruned at {self.training.progress:.0%} of its budget", None
            collapsed = collapse(history, self.spec.experiment.evaluation.points)
        primary: Encoder | None = None

        def score() -> Metrics | TrialMetrics:
            nonlocal primary
            data, at_end = self.probe_data, self._at_end
            metrics, primary = final_metrics(self.spec, self.method, history, data, self.device, self._probes, at_end)
            self._at_end = None
            return metrics

        with self.ledger.phase("evaluation"), self.memory.left_out():
            metrics = self.ranks.first(score)
        with self.ledger.phase("checkpointing"):
            self.ranks.first(lambda: None if primary is None else export_encoder(self.folder, primary))
        return "collapsed" if collapsed else "completed", collapsed, metrics

    def _train(self, training: Training) -> Literal["completed", "diverged", "pruned"]:
        warm_up(training)
        # Under other budgets after the run: counting is slow, and slower for some methods than for others.
        if self.spec.budget.kind == "flops" and self.measurements is not None:
            with self.ledger.phase("warmup"):
                self.measurements.count_flops()
        with self.ledger.phase("evaluation"), self.memory.left_out():
            self.ranks.first(lambda: self._show_untrained(training))
        ended = train(training, self, self.spec.experiment.evaluation.points)
        self.ledger.catch_up(self.ranks.slowest(self.ledger.training_time))
        self._write_history()
        return ended

    def _final_numbers(self, metrics: Metrics | TrialMetrics | None) -> dict[str, dict[str, Any]]:
        """The numbers that trackers receive at the end, by group."""
        split = "test" if self.spec.purpose == "result" else "validation"
        encoders = {} if metrics is None else metrics.encoders
        numbers = {f"{split}/{name}": scores.model_dump(exclude={"dimension"}) for name, scores in encoders.items()}
        cost = self.ledger.record(None).model_dump(include={"training_time", "device_hours", "samples"})
        return {**numbers, "cost": cost}

    def _write_history(self) -> None:
        if self.training is None or not self.ranks.is_first:
            return
        text = "".join(json.dumps(line) + "\n" for line in self.training.history)
        write_atomically(self.folder / HISTORY_FILE, text)

    # The loop's callbacks.

    def advanced(self, training: Training, loss: float) -> None:
        """Reports progress with an estimate of what remains."""
        self._tracker.follow(training.history, self.ledger.images_per_second)
        progress = training.progress
        remaining = self.ledger.training_time * (1 - progress) / max(progress, 1e-9)
        left = self.spec.experiment.evaluation.points - training.points_done
        probes = self._probes.estimate(self.images_of_points(left) + self.images_at_end(known=left > 0))
        self._reporter.run_advanced(progress, loss, self.ledger.images_per_second, remaining, probes)

    @property
    def primary(self) -> Encoder:
        """The encoder that evaluation points score, and that the run leaves behind."""
        return self.method.encoders()[self.spec.settings.primary]

    def images_of_points(self, points: int) -> int:
        """How many images pass the primary encoder at so many evaluation points."""
        return points * images_needed(self.primary, self.point_data, "validation")

    def images_at_end(self, *, known: bool) -> int:
        """How many images pass the encoders for the final scores; `known` if the last point's features are at hand."""
        split: Literal["validation", "test"] = "validation" if self.spec.purpose == "trial" else "test"
        images = sum(images_needed(encoder, self.probe_data, split) for encoder in self.method.encoders().values())
        return images - (self.images_of_points(1) if known and not self.primary.info.recalibrate else 0)

    def evaluate(self, training: Training) -> dict[str, float]:
        """Scores of the primary encoder on the validation split."""
        with self.memory.left_out():
            return self.ranks.first(lambda: self._evaluate(training))

    def _evaluate(self, training: Training) -> dict[str, float]:
        encoder, progress, points = self.primary, training.progress, self.spec.experiment.evaluation.points
        title = f"probe {math.floor(progress * points + 1e-9)} of {points}"
        with self._probes.probing(title, self.images_of_points(1)) as watch:
            subject = point_subject(encoder, self.point_data, self.device, watch)
            scores = score_point(subject)
            self._show(subject.encoder, math.floor(progress * points + 1e-9) / points, subject.train[0])
        if progress >= 1.0 and subject.encoder is encoder:
            self._at_end = subject  # the final scores take its features over
        return scores

    def _show_untrained(self, training: Training) -> None:
        """Writes what the explorer shows of the untrained network; not when the run resumes."""
        if training.step == 0:
            few = replace(self.point_data, pretraining=first_images(self.dataset.train, POOL).images)
            self._show(ready(self.primary, few, self.device), 0.0)

    def _show(self, encoder: Encoder, progress: float, known: Tensor | None = None) -> None:
        """Writes what the explorer shows of the primary encoder at a point of progress; a failure is only named."""
        if self.spec.purpose != "result":
            return
        normalise = self.probe_data.normalise
        try:
            percent = round(100 * progress)
            write_point(self.folder, percent, self.method, encoder, self.dataset, normalise, self.spec.seed, known)
        except (RuntimeError, ValueError) as error:
            self._reporter.say(f"{self.folder}: no view for the explorer at {progress:.0%} ({error})")

    def should_prune(self, training: Training) -> bool:
        """Whether the run is pruned for its scores at the last evaluation point."""
        return self._should_prune(training.history[-1])

    def save(self, training: Training) -> None:
        """Saves the state, and the history so far."""
        self.ledger.catch_up(self.ranks.slowest(self.ledger.training_time))
        self.ranks.first(lambda: self._save(training))
        self._tracker.follow(training.history)

    def _save(self, training: Training) -> None:
        if self._claim is not None:
            self._claim.check()
        state = State(
            key=self.spec.key,
            step=training.step,
            method=self.method.state_dict(),
            optimizer=training.optimizer.state_dict(),
            ledger={**self.ledger.state_dict(), "meter": self.meter.state_dict()},
            history=training.history,
        )
        save_state(self.folder, state)
        self._write_history()

    def stop_requested(self) -> bool:
        """Whether the user wants to interrupt."""
        return self._stop_signal.requested
