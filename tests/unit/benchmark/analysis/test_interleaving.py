from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.comparison import comparisons
from benchmark.analysis.interleaving import Break, breaks


def _found(*records: Any) -> list[Break]:
    (comparison,) = comparisons(records)
    return breaks(comparison)


def test_runs_that_follow_each_other_have_no_break(ran: Any) -> None:
    # The seeds lie a day apart, which is no matter: ratios are of one seed.
    assert _found(*(ran(name, seed, 1440 * seed + 25 * i) for seed in (0, 1) for i, name in enumerate("abc"))) == []


def test_the_longest_break_of_a_seed_is_named_with_what_lies_on_either_side(ran: Any) -> None:
    records = [ran("c", 1, 200), ran("a", 1, 0), ran("b", 1, 11), ran("d", 1, 250), ran("a", 0, 0), ran("b", 0, 10)]
    assert _found(*records) == [Break((1,), 179 * 60.0, ("a", "b"), ("c", "d"), "Xeon 8481C, 2 threads")]


def test_seeds_broken_off_alike_are_one(ran: Any) -> None:
    records = [ran(name, seed, 600 * seed + start) for seed in (0, 1) for name, start in (("a", 0), ("b", 100 + seed))]
    assert _found(*records) == [Break((0, 1), 91 * 60.0, ("a",), ("b",), "Xeon 8481C, 2 threads")]


def test_whatever_was_under_way_fills_a_break(ran: Any) -> None:
    failed = ran("b", 0, 11, minutes=60, status="diverged", measured=False)
    floor = ran("random_init", 0, 71, minutes=60)
    assert _found(ran("a", 0, 0), failed, floor, ran("c", 0, 132)) == []


def test_a_resumed_run_began_before_its_last_part(ran: Any) -> None:
    # 315.7 s in all, of which the record has the last minute.
    resumed = ran("b", 0, 54, minutes=1, seconds=300.0)
    (one,) = _found(ran("a", 0, 0), resumed)
    assert one.seconds == pytest.approx(45 * 60 - 315.7, abs=0.1)


def test_a_long_run_is_no_break(ran: Any) -> None:
    assert _found(ran("a", 0, 0, minutes=300), ran("b", 0, 5), ran("c", 0, 301)) == []


def test_other_machines_and_floors_do_not_count(ran: Any, make_record: Any) -> None:
    here, there = ran("a", 0, 0), ran("b", 0, 500, environment={"device_model": "H200"})
    assert _found(here, there, ran("random_init", 0, 900), make_record("c", 0, seconds=1e20)) == []
    naive = make_record("c", 0, started="2026-01-05T10:00:00", ended="2026-01-05T10:02:00")
    assert [one.seconds for one in _found(here, naive)] == [110 * 60.0]
