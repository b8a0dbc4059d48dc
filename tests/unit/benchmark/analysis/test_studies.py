"""What is said about a parameter: only what its trials support."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.studies import effects, mean_by_pair, sentence
from benchmark.records.study import EntryStudy, ParameterRange, RunOutcome, TrialOutcome


def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found += [] if value in found else [value]
    return found


def study(scores: dict[tuple[Any, ...], list[float]], names: tuple[str, ...] = ("depth",), **ranges: Any) -> EntryStudy:
    """A study of made-up scores: by point, one per seed."""
    trials = [
        TrialOutcome(
            number=number,
            point=number,
            state="complete",
            entry=f"e{number}",
            parameters=dict(zip(names, point, strict=True)),
            value=sum(values) / len(values),
            runs=[
                RunOutcome(
                    seed=seed, key=f"{number}-{seed}", status="completed", linear_top1=value, knn20=value - 3,
                    device_hours=0.1, total_hours=0.2, record="record.json",
                )
                for seed, value in enumerate(values)
            ],
        )
        for number, (point, values) in enumerate(scores.items())
    ]  # fmt: skip
    listed = {name: ParameterRange(values=_distinct(point[i] for point in scores)) for i, name in enumerate(names)}
    return EntryStudy(
        entry="cnn_jepa", storage_name="s", parameters={**listed, **ranges}, trials=trials, importances={}
    )


def test_values_that_differ_beyond_chance_are_told_apart() -> None:
    found = study({(3,): [50.0, 51.0, 52.0], (1,): [44.0, 45.1, 46.0], (2,): [49.9, 51.2, 51.9]})
    (effect,) = effects(found)
    assert [level.value for level in effect.levels] == [1, 2, 3]  # numbers stand in their order
    assert [level.summary.n for level in effect.levels] == [3, 3, 3]
    text = sentence(effect)
    assert text.startswith("depth: ") and "has the highest mean" in text
    assert "above 1 by" in text and "not significantly different from" in text
    assert "corrected for 3 comparisons" in text


def test_no_difference_seen_where_seeds_vary_as_much() -> None:
    (effect,) = effects(study({(1,): [40.0, 45.0, 50.0], (2,): [46.0, 41.0, 49.0], (4,): [44.0, 47.0, 43.0]}))
    text = sentence(effect)
    assert "no significant difference between 1, 2 and 4" in text and "smallest corrected p" in text


def test_the_correction_counts_all_pairs() -> None:
    # One pair alone would differ significantly (p = 0.03); one of six does not.
    scores = {(1,): [50.0, 50.0, 50.0], (2,): [49.0, 48.8, 48.2], (3,): [49.5, 50.9, 48.9], (4,): [50.6, 49.2, 50.9]}
    (effect,) = effects(study(scores))
    raw = min(pair.paired.p or 1.0 for pair in effect.pairs)
    assert raw < 0.05 and len(effect.pairs) == 6
    assert "no significant difference" in sentence(effect)
    (alone,) = effects(study(dict(list(scores.items())[:2])))
    assert "above 2" in sentence(alone)


def test_too_few_seeds_say_nothing() -> None:
    (effect,) = effects(study({(1,): [40.0, 41.0], (2,): [50.0, 51.0]}))
    assert "too few for a test" in sentence(effect)
    (effect,) = effects(study({(1,): [40.0, 41.0]}))
    assert "they cannot be compared" in sentence(effect)


def test_chosen_values_are_compared_and_the_edge_is_named() -> None:
    rates = ParameterRange(values=[0.0003, 0.001, 0.003])
    for scores, word in (((34.2, 34.9, 37.1), "largest"), ((38.6, 36.1, 34.8), "smallest"), ((35.0, 39.0, 38.0), "")):
        (effect,) = effects(study({(v,): [s] for v, s in zip(rates.values or (), scores, strict=True)}, depth=rates))
        assert effect.listed and effect.edge == word
        assert (f"the {word} value that was tried" in sentence(effect)) is bool(word)
    (two,) = effects(study({(1,): [40.0], (2,): [50.0]}))
    assert two.edge == ""


def test_drawn_values_are_not_compared_one_by_one() -> None:
    scores = {(0.001 * i,): [40.0 + i] for i in range(1, 6)}
    (effect,) = effects(study(scores, depth=ParameterRange(low=0.001, high=0.01, log=True)))
    assert not effect.listed and effect.numeric
    assert "the best trial had 0.005" in sentence(effect)


def test_values_are_compared_where_all_else_is_equal() -> None:
    # Kernel 5 was tried with the good depth alone, by chance; where both were, it is no better.
    scores = {
        (1, 3): [40.0, 41.0, 42.0],
        (2, 3): [50.0, 51.0, 52.0],
        (2, 5): [50.1, 50.9, 52.0],
    }
    depth, kernel = effects(study(scores, ("depth", "kernel")))
    (pair,) = kernel.pairs
    assert pair.paired.mean == pytest.approx(0.0, abs=0.1) and not pair.differs
    assert kernel.levels[0].summary.mean == pytest.approx(46.0)  # the mean of all runs with kernel 3
    (pair,) = depth.pairs
    assert pair.paired.mean == pytest.approx(-10.0)
    assert mean_by_pair(study(scores, ("depth", "kernel")), "depth", "kernel")[("2", "5")] == pytest.approx(51.0)


def test_names_and_switches_keep_the_order_of_the_file() -> None:
    (effect,) = effects(study({("mixed",): [50.0] * 3, ("block",): [51.0] * 3, ("random",): [40.0] * 3}))
    assert [level.text for level in effect.levels] == ["mixed", "block", "random"]
    assert not effect.numeric
    (effect,) = effects(study({(True,): [50.0] * 2, (None,): [51.0] * 2, ((1, 2),): [40.0] * 2}))
    assert [level.text for level in effect.levels] == ["true", "null", "[1, 2]"]
