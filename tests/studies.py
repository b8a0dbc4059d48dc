"""Study records with made-up results, as a sweep would write them."""

from __future__ import annotations

from typing import Any

from benchmark.records.study import EntryStudy, ParameterRange, PublishedScore, RunOutcome, StudyRecord, TrialOutcome

DEPTH, STRATEGY = "cnn_jepa.predictor_depth", "cnn_jepa.masking.strategy"


def make_run(seed: int, value: float, status: Any = "completed", **changes: Any) -> RunOutcome:
    """A run of a trial that reached a linear top-1 of `value`."""
    scored = status == "completed"
    return RunOutcome(
        **{
            "seed": seed, "key": f"{value}-{seed}", "status": status, "linear_top1": value if scored else None,
            "knn20": value - 3 if scored else None, "device_hours": 0.5, "total_hours": 0.6,
            "flags": ["resumed"] if seed else [], "record": f"e/seed-{seed}-ab/record.json",
            "curve": [(0.5, value - 5, value - 8), (1.0, value, value - 3)], **changes,
        }
    )  # fmt: skip


def make_study(seeds: int = 3, **changes: Any) -> StudyRecord:
    """Two strategies with four depths each; depth 1 is worse, strategies are alike; one trial was pruned."""
    trials = []
    for number, (strategy, depth) in enumerate((s, d) for s in ("mixed", "random") for d in (1, 2, 3, 4)):
        base = 44.0 if depth == 1 else 50.0
        runs = [make_run(seed, base + seed + 0.1 * ((number * 7 + seed * 3) % 5)) for seed in range(seeds)]
        value = sum(run.linear_top1 or 0.0 for run in runs) / seeds
        trials.append(
            TrialOutcome(
                number=number, point=number, state="complete", entry=f"e{number}", value=value, runs=runs,
                parameters={STRATEGY: strategy, DEPTH: depth},
            )
        )  # fmt: skip
    given_up = TrialOutcome(
        number=8, point=8, state="pruned", entry="e8", value=None, parameters={STRATEGY: "mixed", DEPTH: 9},
        message="seed 0: pruned (given up at 40% of its budget)", runs=[make_run(0, 30.0, "pruned")],
    )  # fmt: skip
    study = EntryStudy(
        entry="cnn_jepa",
        storage_name="depth.cnn_jepa",
        parameters={
            STRATEGY: ParameterRange(values=["mixed", "random"]),
            DEPTH: ParameterRange(values=[1, 2, 3, 4]),
        },
        trials=[*trials, given_up],
        importances={STRATEGY: 0.2, DEPTH: 0.8},
    )
    return StudyRecord(
        **{
            "name": "depth", "description": "layers of the predictor", "experiment": "cpu", "dataset": "cifar10",
            "budget": "epochs=10", "sampler": "grid", "pruner": "median", "seeds": list(range(seeds)),
            "trials_wanted": 9, "studies": [study],
            "published": [PublishedScore(parameter=DEPTH, value=2, linear_top1=73.22, knn=59.22, source="their book"),
                          PublishedScore(parameter=DEPTH, value=6, linear_top1=69.24, source="their book")],
            **changes,
        }
    )  # fmt: skip


def make_front_study() -> StudyRecord:
    """Accuracy against device-hours: trials 0, 1 and 3 are on the front, 2 and 4 are dominated, 5 failed."""
    points = [(40.0, 0.1), (46.0, 0.2), (45.0, 0.4), (49.0, 0.5), (39.0, 0.3)]  # score, device-hours
    trials = [
        TrialOutcome(
            number=number, point=number, state="complete", entry=f"e{number}", value=score,
            runs=[
                make_run(seed, score + side, device_hours=hours * (1 + 0.1 * side), curve=[(1.0, score, 30.0)])
                for seed, side in enumerate((-1, 1))
            ],
            parameters={DEPTH: number + 1},
        )
        for number, (score, hours) in enumerate(points)
    ]  # fmt: skip
    trials.append(
        TrialOutcome(number=5, point=5, state="failed", entry="e5", value=None, parameters={DEPTH: 6}, message="broke")
    )
    study = EntryStudy(
        entry="cnn_jepa",
        storage_name="front.cnn_jepa",
        parameters={DEPTH: ParameterRange(low=1, high=6)},
        trials=trials,
    )
    return make_study(
        seeds=2,
        name="front",
        description="",
        sampler="nsga2",
        pruner="none",
        trials_wanted=6,
        studies=[study],
        published=[],
    )


def study_of(
    scores: dict[tuple[Any, ...], list[float]], names: tuple[str, ...] = ("depth",), **ranges: Any
) -> EntryStudy:
    """An entry's study of made-up scores: by point, one per seed. `reference` names the experiment's own values."""
    reference = ranges.pop("reference", {})
    trials = [
        TrialOutcome(
            number=number,
            point=number,
            state="complete",
            entry=f"e{number}",
            parameters=dict(zip(names, point, strict=True)),
            value=sum(values) / len(values),
            runs=[
                make_run(seed, value, key=f"{number}-{seed}", device_hours=0.1, total_hours=0.2, curve=[])
                for seed, value in enumerate(values)
            ],
        )
        for number, (point, values) in enumerate(scores.items())
    ]
    listed = {
        name: ParameterRange(values=_distinct(point[i] for point in scores), reference=reference.get(name))
        for i, name in enumerate(names)
    }
    return EntryStudy(
        entry="cnn_jepa", storage_name="s", parameters={**listed, **ranges}, trials=trials, importances={}
    )


def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found += [] if value in found else [value]
    return found
