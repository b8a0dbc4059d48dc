"""One run, built and carried out: method, loop, probes, what it leaves in its folder."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from benchmark.cost.ledger import Ledger
from benchmark.cost.memory import PeakMemory
from benchmark.cost.meter import Meter, sources
from benchmark.data.datasets import first_images
from benchmark.data.loader import Batches
from benchmark.data.views.augment import Augmenter
from benchmark.errors import Interrupted
from benchmark.evaluation.collapse import collapse
from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.protocols import evaluate_test, evaluate_trial, evaluate_validation, probe_data, ready
from benchmark.files import write_atomically
from benchmark.machine.ranks import Ranks
from benchmark.randomness import seeded
from benchmark.records.schema import EncoderScores, LedgerRecord, Metrics, Status, TrialMetrics, ValidationPoint
from benchmark.runs.method_views import write_glimpse
from benchmark.runs.tracking import FOLDER, Subject, Tracker
from benchmark.training.checkpoint import State, export_encoder, load_state, save_state
from benchmark.training.loop import Objective, Training, train
from benchmark.training.optim import build_optimizer
from benchmark.training.profile import breakdown, flops_per_step, ready_made_throughput, warm_up
from methods.backbones import build_backbone, count_parameters, use_plain_attention
from methods.base import Task

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.interrupt import StopSignal
    from benchmark.runs.progress import Reporter
    from methods.base import Method


_NOT_FINITE = "a loss or a feature was not finite"

Judge = Callable[[Mapping[str, float]], bool]


def keep(scores: Mapping[str, float]) -> bool:
    """The judge that gives no run up."""
    return False


class Run:
    """A run under way. Resumes by itself where the folder holds a saved state of the same run.

    Several ranks carry it out together: each builds it and calls the same methods in the same order. The first one
    writes and probes, and the others wait for it meanwhile.

    Args:
        plan: what is run.
        dataset: on what.
        device: where.
        folder: of its files.
        reporter: is told how it goes.
        stop_signal: is asked between steps.
        ranks: who takes part; this process alone by default.
        judge: told the validation scores of an evaluation point; whether the run is to be given up there.
        track: trackers that show the run too; the same on all ranks.

    Attributes:
        memory: the peak of its training; probes are left out.
    """

    def __init__(
        self,
        plan: RunSpec,
        dataset: Dataset,
        device: torch.device,
        folder: Path,
        reporter: Reporter,
        stop_signal: StopSignal,
        ranks: Ranks | None = None,
        judge: Judge = keep,
        track: Sequence[str] = (),
    ) -> None:
        self.ranks = ranks = ranks or Ranks(device)
        synchronize = partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
        self.ledger = Ledger(synchronize, devices=ranks.size)
        self.meter = Meter(sources(device, ranks.processes), lambda: self.ledger.training_time)
        self.plan, self.dataset, self.device, self.folder = plan, dataset, device, folder
        self._reporter, self._interruption, self._judge = reporter, stop_signal, judge
        self.memory = PeakMemory(device)
        self.method = build_method(plan, dataset)
        if ranks.size > 1 and plan.settings.sync_batch_norm:
            self.method.synchronise_batch_norm()
        self.method.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device.type == "cpu":
            use_plain_attention(self.method)
        self.probe_data = probe_data(dataset, plan.image_size)
        on_the_way = first_images(dataset.train, plan.experiment.evaluation.images)
        self._data_on_the_way = replace(self.probe_data, train=on_the_way, pretraining=on_the_way.images)
        self.training = self._build_training() if plan.method.trainable else None
        self.resumed_at = self._resume()
        self._ready_made: float | None = None
        self._tracker = Tracker(track, self.ledger, ranks)

    def _build_training(self) -> Training:
        plan, dataset = self.plan, self.dataset
        assert plan.experiment.precision != "auto", "settled before runs are planned"
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision of every run
        fabric = self.ranks.fabric("bf16-mixed" if plan.experiment.precision == "bf16" else "32-true")
        lr = plan.config()["lr"]
        optimizer = build_optimizer(self.method.parameter_groups(), plan.settings.optimizer, lr)
        objective, wrapped = fabric.setup(Objective(self.method), optimizer)
        augmenter = Augmenter(self.method.views, plan.image_size, dataset.mean, dataset.std)
        return Training(
            plan=plan,
            fabric=fabric,
            method=self.method,
            objective=objective,
            optimizer=wrapped,
            lr=lr,
            augmenter=augmenter,
            batches=Batches(
                dataset.trained_on(plan.method),
                plan.experiment.batch_size,
                plan.seed,
                self.device,
                self.ranks.rank,
                self.ranks.size,
                augmenter=augmenter,
            ),
            ledger=self.ledger,
            ranks=self.ranks,
        )

    @property
    def _key(self) -> str:
        return self.plan.key(self.dataset.manifest.digest)

    def _resume(self) -> float | None:
        """Goes on from a saved state, the first rank's; returns the progress it stood at."""
        if self.training is None:
            return None
        state = self.ranks.first(lambda: load_state(self.folder, self._key))
        if state is None:
            return None
        training = self.training
        self.method.load_state_dict(state.method)
        training.optimizer.load_state_dict(state.optimizer)
        training.step, training.history = state.step, state.history
        self.ledger.load_state_dict(state.ledger)
        training.elapsed = self.ledger.training_time
        self.meter.load_state_dict(state.ledger["meter"])
        self._write_history()  # cut back to the saved step
        # From what was evaluated: under a budget of time progress moves on while a state is saved, maybe past a point.
        # Not from a number in the state, since that of all points may have been changed in between.
        reached = max((line["progress"] for line in state.history if line["kind"] == "evaluation"), default=0.0)
        training.points_done = math.floor(reached * self.plan.experiment.evaluation.points + 1e-9)
        return training.progress

    def close(self) -> None:
        """Ends whatever runs beside."""
        if self.training is not None:
            self.training.batches.__exit__(None, None, None)

    def carry_out(self) -> tuple[Status, str | None, Metrics | TrialMetrics | None]:
        """Trains, probes once (on the test split, unless the run is a trial), and writes everything but the record.

        Returns:
            How it ended, what there is to say about that, and what it reached.

        Raises:
            Interrupted: the user interrupted; the state is saved.
        """
        history, resumed = [], None
        if self.training is not None:
            history, resumed = self.training.history, self.training.step if self.ledger.resumed else None
        self._tracker.open(Subject(self.folder.parents[1] / FOLDER, self.plan, self._key, resumed), sent=len(history))
        outcome: tuple[Status, str | None, Metrics | TrialMetrics | None]
        try:
            with self.meter:
                outcome = self._carry_out()
        except NonFiniteError:
            self._write_history()
            outcome = "diverged", _NOT_FINITE, None
        except Exception as error:
            self._tracker.give_up(interrupted=isinstance(error, Interrupted))
            raise
        self._tracker.follow(history)
        self._tracker.finish(self._final_numbers(outcome[2]), well=outcome[0] != "diverged")
        return outcome

    def _carry_out(self) -> tuple[Status, str | None, Metrics | TrialMetrics | None]:
        collapsed: str | None = None
        if self.training is not None:
            warm_up(self.training)
            # Elsewhere behind the run: counting is slow, and slower for some methods than for others.
            if self.plan.budget.kind == "flops" and self.ledger.flops_per_step is None:
                with self.ledger.phase("warmup"):
                    self.ledger.flops_per_step = flops_per_step(self.training)
            status = train(self.training, self, self.plan.experiment.evaluation.points)
            self.ledger.catch_up(self.ranks.slowest(self.ledger.training_time))
            self._write_history()
            if status == "diverged":
                return status, _NOT_FINITE, None
            if status == "pruned":
                return status, f"given up at {self.training.progress:.0%} of its budget", None
            collapsed = collapse(self.training.history, self.plan.experiment.evaluation.points)
        with self.ledger.phase("evaluation"), self.memory.left_out():
            trial = self.plan.purpose == "trial"
            probe: Callable[[], Metrics | TrialMetrics] = self._trial_metrics if trial else self._final_metrics
            metrics = self.ranks.first(probe)
        with self.ledger.phase("checkpointing"):
            primary = self.method.encoders()[self.plan.settings.primary]
            self.ranks.first(lambda: export_encoder(self.folder, ready(primary, self.probe_data, self.device)))
        return "collapsed" if collapsed else "completed", collapsed, metrics

    def _final_metrics(self) -> Metrics:
        scores: dict[str, EncoderScores] = {
            name: evaluate_test(encoder, self.probe_data, self.device, "32")
            for name, encoder in self.method.encoders().items()
        }
        return Metrics(encoders=scores, extra=self._extra(), **self._common_metrics())

    def _trial_metrics(self) -> TrialMetrics:
        scores = {
            name: evaluate_trial(encoder, self.probe_data, self.device, "32")
            for name, encoder in self.method.encoders().items()
        }
        return TrialMetrics(encoders=scores, **self._common_metrics())

    def _common_metrics(self) -> dict[str, Any]:
        history = self.training.history if self.training else []
        losses = [line["loss"] for line in history if "loss" in line]
        return {
            "primary": self.plan.settings.primary,
            "final_loss": losses[-1] if losses else None,
            "backbone_parameters": sum(p.numel() for p in self.method.backbone.parameters()),
            "trainable_parameters": count_parameters(self.method) if self.plan.method.trainable else 0,
            "validation": [
                ValidationPoint(**{name: line[name] for name in ValidationPoint.model_fields})
                for line in history
                if line["kind"] == "evaluation"
            ],
        }

    def _final_numbers(self, reached: Metrics | TrialMetrics | None) -> dict[str, dict[str, Any]]:
        """What trackers are told at the end, by group."""
        split = "test" if self.plan.purpose == "result" else "validation"
        scores = {} if reached is None else reached.encoders
        numbers = {f"{split}/{name}": one.model_dump(exclude={"dimension"}) for name, one in scores.items()}
        spent = self.ledger.record(None).model_dump(include={"training_time", "device_hours", "samples"})
        return {**numbers, "cost": spent}

    def _extra(self) -> dict[str, float]:
        """The accuracy on the test split of a method's own classifier (supervised has one)."""
        images, labels_N = self.dataset.test.images, self.dataset.test.labels
        correct = 0
        self.method.eval()
        with torch.no_grad():
            for ids_B in torch.split(torch.arange(len(images)), 512):
                views = self.probe_data.normalise(images.read(ids_B).to(self.device))
                logits = self.method.classify(views)
                if logits is None:
                    return {}
                correct += int((logits.argmax(1).cpu() == labels_N[ids_B]).sum())
        return {"classifier_top1": 100.0 * correct / len(images)}

    def _write_history(self) -> None:
        if self.training is None or not self.ranks.is_first:
            return
        text = "".join(json.dumps(line) + "\n" for line in self.training.history)
        write_atomically(self.folder / "history.jsonl", text)

    @property
    def afterwards(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        """What is measured and drawn behind a finished run: names and work, the same on all ranks.

        All of it leaves weights and position as they were.
        """
        if (training := self.training) is None:
            return ()

        def count() -> None:
            if self.ledger.flops_per_step is None:
                self.ledger.flops_per_step = flops_per_step(training)

        def measure() -> None:
            self._ready_made = None if training.batches.resident else ready_made_throughput(training)

        def see() -> None:
            self.ranks.first(lambda: write_glimpse(self.folder / "glimpse.npz", training, self.dataset))

        def divide() -> None:
            text = json.dumps(breakdown(training), indent=2) + "\n"
            self.ranks.first(lambda: write_atomically(self.folder / "breakdown.json", text))

        names = ("FLOPs", "the throughput without waiting", "the glimpse", "the breakdown")
        return tuple(zip(names, (count, measure, see, divide), strict=True))

    def described(self, ledger: LedgerRecord) -> LedgerRecord:
        """The ledger of the finished run, with what was counted and measured behind it."""
        found = {
            "flops_per_step": self.ledger.flops_per_step,
            "flops": self.ledger.flops,
            "ready_made_per_second": self._ready_made,
        }
        return ledger.model_copy(update=found)

    # The loop's watcher.

    def advanced(self, training: Training, loss: float) -> None:
        """Reports progress with an estimate of what remains."""
        self._tracker.follow(training.history, self.ledger.images_per_second)
        progress = training.progress
        remaining = self.ledger.training_time * (1 - progress) / max(progress, 1e-9)
        self._reporter.run_advanced(progress, loss, self.ledger.images_per_second, remaining)

    def evaluate(self, training: Training) -> dict[str, float]:
        """Scores of the primary encoder on the validation split."""
        encoder = self.method.encoders()[self.plan.settings.primary]
        with self.memory.left_out():
            return self.ranks.first(lambda: evaluate_validation(encoder, self._data_on_the_way, self.device, "32"))

    def should_prune(self, training: Training) -> bool:
        """What the judge says of the scores of the last evaluation point."""
        return self._judge(training.history[-1])

    def save(self, training: Training) -> None:
        """Saves the state, and the history so far."""
        self.ledger.catch_up(self.ranks.slowest(self.ledger.training_time))
        self.ranks.first(lambda: self._save(training))
        self._tracker.follow(training.history)

    def _save(self, training: Training) -> None:
        state = State(
            key=self._key,
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
        return self._interruption.requested


def build_method(plan: RunSpec, dataset: Dataset) -> Method[Any]:
    """The method of a run. Entries with the same seed and backbone start from equal backbone weights."""
    with seeded(plan.seed, "backbone"):
        backbone = build_backbone(plan.backbone, plan.image_size)
    with seeded(plan.seed, "heads"):
        return plan.method(plan.settings, backbone, Task(plan.image_size, len(dataset.classes)))
