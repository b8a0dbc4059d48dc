"""What is said about a parameter and its comparisons: only what its trials support."""

from __future__ import annotations

import re

import pytest
from studies import study_of

from benchmark.analysis.findings import comparison_name, difference_text, finding, points_text, sentence
from benchmark.analysis.studies import effects
from benchmark.records.study import ParameterRange

OWN = {"reference": {"depth": "2"}}
SCORES: dict[tuple[object, ...], list[float]] = {
    (1,): [40.0, 41.0, 42.0],
    (2,): [41.0, 43.0, 45.0],
    (3,): [47.0, 49.05, 51.0],
}


def test_a_comparison_in_words() -> None:
    (effect,) = effects(study_of(SCORES, **OWN))
    below, above = effect.pairs
    assert (comparison_name(below), comparison_name(above)) == ("1 against 2", "3 against 2")
    # Mean -2, standard deviation 1, three seeds, two comparisons: 6.2053 / sqrt(3) to either side.
    assert difference_text(below) == "-2.0 (-5.6 to 1.6)"
    assert finding(below) == "not significant: no difference larger than 5.6"
    assert difference_text(above) == "+6.0 (5.9 to 6.1)"
    assert (finding(above), finding(above.seen_from(above.second))) == ("higher", "lower")


def test_the_finding_of_a_parameter_names_differences_bounds_and_what_can_be_detected() -> None:
    (effect,) = effects(study_of(SCORES, **OWN))
    text = sentence(effect)
    assert text.startswith(
        "depth: 3 has the highest mean (49.0 ± 5.0%). Significantly different (2 is the experiment's own value): "
        "3 against 2: +6.0 (5.9 to 6.1) points, p < 0.001. "
        "Not significantly different: 1 against 2: -2.0 (-5.6 to 1.6) points, p 0.074, so no difference larger than "
        "5.6 points. Smallest detectable difference with 3 seeds: 0."
    )
    assert text.endswith(" points (power 80%; paired by seed, corrected for 2 comparisons).")
    sizes = re.search(r"seeds: ([\d.]+) to ([\d.]+) points", text)
    assert sizes is not None
    assert [float(size) for size in sizes.groups()] == [
        pytest.approx(pair.detectable, abs=0.051) for pair in reversed(effect.pairs)
    ]


def test_no_difference_is_never_said_without_how_large_it_may_be() -> None:
    scores: dict[tuple[object, ...], list[float]] = {
        (1,): [40.0, 45.0, 50.0], (2,): [46.0, 41.0, 49.0], (4,): [44.0, 47.0, 43.0],
    }  # fmt: skip
    for reference in ({}, OWN["reference"]):
        (effect,) = effects(study_of(scores, reference=reference))
        text = sentence(effect)
        assert "Significantly" not in text and "Not significantly different" in text
        bound = max(pair.bound or 0.0 for pair in effect.pairs)
        assert bound > 10 and f"so no difference larger than {bound:.1f} points. Smallest detectable" in text
        assert text.count(" against ") == len(effect.pairs)


def test_of_all_pairs_those_with_the_best_value_are_named() -> None:
    found = study_of({(3,): [50.0, 51.0, 52.0], (1,): [44.0, 45.1, 46.0], (2,): [49.9, 51.2, 51.6]})
    text = sentence(effects(found)[0])
    assert "Significantly different: 3 against 1: +6.0 (" in text and "2 against 1" not in text
    assert "Not significantly different: 3 against 2: " in text and "corrected for 3 comparisons" in text
    # The best value differs from none, two others do.
    found = study_of({(1,): [40.0, 41.0, 42.0], (2,): [41.0, 42.1, 42.9], (3,): [30.0, 45.0, 60.0]})
    assert "Significantly different: 1 against 2: -1.0 (" in sentence(effects(found)[0])


def test_many_comparisons_are_counted() -> None:
    scores: dict[tuple[object, ...], list[float]] = {
        (depth,): [40.0 + depth % 2, 45.0, 50.0 - depth] for depth in range(1, 5)
    }
    text = sentence(effects(study_of(scores))[0])
    assert "Not significantly different: 6 comparisons, so no difference larger than" in text


def test_values_that_change_nothing_are_equal() -> None:
    (effect,) = effects(study_of({(1,): [40.0, 41.0, 42.0], (2,): [40.0, 41.0, 42.0]}))
    assert finding(effect.pairs[0]) == "equal on every seed" and difference_text(effect.pairs[0]) == "+0.0"
    assert sentence(effect).endswith(
        "Not significantly different: 1 against 2: +0.0 points, p 1.000, so they are equal on every seed. "
        "The test is paired by seed, corrected for 1 comparison."
    )


def test_too_few_seeds_say_nothing() -> None:
    (effect,) = effects(study_of({(1,): [40.0, 41.0], (2,): [50.0, 51.2]}))
    assert "too few for a test" in sentence(effect)
    assert finding(effect.pairs[0]) == "fewer than 3 seeds in common" and difference_text(effect.pairs[0]) == "-10.1"
    (effect,) = effects(study_of({(1,): [40.0, 41.0]}))
    assert "they cannot be compared" in sentence(effect)
    (effect,) = effects(study_of({(1,): [40.0, 41.0, 42.0], (2,): [41.0, 42.0, 43.0]}))
    assert finding(effect.pairs[0]) == "no spread, no test"


def test_the_best_of_chosen_values_may_lie_at_their_edge() -> None:
    rates = ParameterRange(values=[0.0003, 0.001, 0.003])
    scores: dict[tuple[object, ...], list[float]] = {(0.0003,): [34.2], (0.001,): [34.9], (0.003,): [37.1]}
    (effect,) = effects(study_of(scores, depth=rates))
    assert "0.003 has the highest mean (37.1%, the largest value that was tried)" in sentence(effect)


def test_drawn_values_are_not_compared_one_by_one() -> None:
    scores: dict[tuple[object, ...], list[float]] = {(0.001 * i,): [40.0 + i] for i in range(1, 6)}
    (effect,) = effects(study_of(scores, depth=ParameterRange(low=0.001, high=0.01, log=True)))
    assert "the best trial had 0.005" in sentence(effect)


def test_small_sizes_do_not_read_zero() -> None:
    assert [points_text(points) for points in (3.14, 0.06, 0.0123, 0.0)] == ["3.1", "0.1", "0.012", "0.0"]
