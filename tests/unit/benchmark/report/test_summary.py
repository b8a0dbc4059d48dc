from __future__ import annotations

from typing import Any

from made_costs import GPU_A, make_cost, make_priced

from benchmark.analysis.calibration import Prices
from benchmark.analysis.comparison import comparisons
from benchmark.analysis.fronts import front_rows
from benchmark.report.summary import answer, further_sentences, limits, question


def test_three_seeds_are_no_longer_preliminary_in_the_answer(make_record: Any) -> None:
    records = [
        make_record(entry, s, top1=t + 0.1 * s) for entry, t in (("byol", 45.0), ("simclr", 40.0)) for s in range(3)
    ]
    (comparison,) = comparisons(records)
    said = answer(comparison)
    assert "45.1 ± 0.2% (3 seeds; ± is the 95% interval over seeds)." in said[0]
    assert question(comparison) == (
        "Which of 2 self-supervised entries has the best features after 10 epochs on cifar10-jpeg, and what does each "
        "cost to train? (3 seeds)"
    )
    assert "BYOL has the highest linear top-1" in said[0]  # the same difference on every seed: nothing to test by
    assert "This comparison has no untrained network (random init)" in said[-1]
    told = limits([comparison], [])
    assert not any("preliminary" in line for line in told)
    assert any("No row is ranked: a rank needs 5 seeds" in line for line in told)


def test_a_single_entry_is_not_the_highest_of_many(make_record: Any) -> None:
    (comparison,) = comparisons([make_record("byol", s, top1=45.0 + 0.1 * s) for s in range(3)])
    assert answer(comparison)[0].startswith(
        "After 10 epochs on cifar10-jpeg, BYOL reaches a linear top-1 of 45.1 ± 0.2%"
    )


def test_times_of_other_machines_are_not_compared(make_record: Any) -> None:
    records = [make_record("byol", top1=45.0, seconds=100.0)]
    records.append(make_record("simclr", top1=40.0, seconds=5.0, environment={"device_model": "H200"}))
    (comparison,) = comparisons(records)
    assert not any("cheapest" in sentence for sentence in answer(comparison))


def test_no_entry_is_the_cheapest_where_the_budget_is_a_time(make_record: Any) -> None:
    values = (("byol", 45.0, 60.2), ("simclr", 44.0, 60.1), ("vicreg", 40.0, 60.0))
    records = [make_record(e, top1=t, seconds=s, budget={"wall_clock": 60.0}) for e, t, s in values]
    (comparison,) = comparisons(records)
    assert not any("cheapest" in sentence for sentence in answer(comparison))
    assert [row.first.entry for row in front_rows(comparison.rows)] == ["byol"]
    # FLOPs buy different times.
    flops = {"budget": {"flops": 1e9}}
    (comparison,) = comparisons([make_record(e, top1=t, seconds=s, **flops) for e, t, s in values])
    assert answer(comparison)[1] == "VICReg (60 s), BYOL (60 s) and SimCLR (60 s) cost about the same to train."
    dear = make_record("ijepa", top1=30.0, seconds=90.0, **flops)
    (comparison,) = comparisons([*comparison.records, dear])
    assert answer(comparison)[1].endswith("cost about the same to train, the least of these entries.")
    (comparison,) = comparisons([make_record(e, top1=t, seconds=s - i, **flops) for i, (e, t, s) in enumerate(values)])
    assert answer(comparison)[1].startswith("VICReg is the cheapest")


def test_the_headline_counts_the_seeds_that_did_not_end_well(make_record: Any) -> None:
    records = [make_record("byol", s, top1=45.0 + s) for s in range(3)]
    records += [make_record("byol", s, status="diverged", measured=False) for s in (3, 4)]
    (comparison,) = comparisons(records)
    assert "(3 of 5 seeds;" in answer(comparison)[0]
    records = [make_record("byol", s, top1=45.0 + s, status="completed" if s else "collapsed") for s in range(4)]
    (comparison,) = comparisons(records)
    assert "(4 seeds, 1 of them collapsed;" in answer(comparison)[0]


def test_each_entry_is_judged_by_the_floor_of_its_network(make_record: Any) -> None:
    vit = {"backbone": "vit_tiny"}
    records = [make_record("random_init", top1=33.0), make_record("byol", top1=45.0, status="collapsed")]
    said = answer(comparisons([*records, make_record("simclr", top1=46.0)])[0])
    assert "(33.0 ± 0.9%): higher, beyond the intervals: SimCLR and BYOL (collapsed)." in said[-1]
    both = [*records, make_record("random_init", 1, top1=38.0, **vit), make_record("ijepa", top1=38.5, **vit)]
    said = answer(comparisons(both)[0])
    assert "each entry with that of its own network): " in said[-1]
    assert "not significantly different, as the intervals overlap: I-JEPA at 38.5 ± 1.0%" in said[-1]


def test_the_answer_has_at_most_three_sentences_and_the_rest_stands_beside_it(make_record: Any) -> None:
    config = {"reference": "byol"}
    scores = {"byol": 45.0, "simclr": 44.9, "vicreg": 40.0, "random_init": 33.0}
    records = [make_record(e, s, top1=t + t * s / 400, config=config) for e, t in scores.items() for s in range(3)]
    records.append(make_record("cnn_jepa", status="diverged", measured=False, config=config))
    (comparison,) = comparisons(records)
    said, beside = answer(comparison), further_sentences(comparison)
    assert len(said) == 3
    assert [said[0].split(",")[0], said[1][:4], said[2][:20]] == [
        "After 10 epochs on cifar10-jpeg",
        "BYOL",
        "Compared with random",
    ]
    assert beside[0].startswith("Compared with BYOL, the declared reference")
    assert beside[1:] == ["No result: CNN-JEPA (diverged)."]


def test_the_question_of_one_entry_and_of_none(make_record: Any) -> None:
    (alone,) = comparisons([make_record("byol"), make_record("supervised")])
    assert question(alone) == (
        "How good are the features of BYOL after 10 epochs on cifar10-jpeg, and what do they cost to train? (one seed)"
    )
    (none,) = comparisons([make_record("supervised", budget={})])
    assert question(none).startswith("What do the references reach")


def test_a_collapsed_row_is_in_the_table_and_in_no_contest(make_record: Any) -> None:
    records = [make_record("byol", top1=50.0, seconds=10.0, status="collapsed")]
    records += [make_record(e, top1=t, seconds=s) for e, t, s in (("simclr", 45.0, 90.0), ("vicreg", 40.0, 60.0))]
    (comparison,) = comparisons(records)
    said = answer(comparison)
    assert "SimCLR has the highest linear top-1" in said[0]
    assert said[1] == (
        "VICReg is the cheapest to train (60 s); SimCLR took 90 s, 1.5 times as long; BYOL took 10 s but collapsed."
    )
    assert further_sentences(comparison) == ["Collapsed and not ranked: BYOL."]
    (above,) = comparisons([*records, make_record("random_init", top1=33.0)])
    assert further_sentences(above)[1].startswith("BYOL collapsed and yet exceeded random init: collapse is judged by")
    assert [row.first.entry for row in front_rows(comparison.rows)] == ["vicreg", "simclr"]
    (alone,) = comparisons(records[:1])
    assert answer(alone)[0] == "Every self-supervised entry in this comparison collapsed."


def test_the_answer_follows_the_paired_test_where_there_is_one(make_record: Any) -> None:
    # Both vary by seed much more than they differ, and alike: intervals meet, differences do not reach zero.
    values = {"byol": [40.0, 45.0, 50.0], "simclr": [39.0, 44.1, 48.9]}
    (comparison,) = comparisons([make_record(e, s, top1=v) for e, vs in values.items() for s, v in enumerate(vs)])
    assert (
        "BYOL has the highest linear top-1 of the self-supervised entries, significantly above every other"
        in (answer(comparison)[0])
    )


def test_the_cheapest_follows_the_calibrated_cost_and_its_hardware_is_named() -> None:
    runs = [make_priced("byol", top1=45.0, seconds=10.0, flags=["busy machine"])]
    runs.append(make_priced("simclr", top1=40.0, seconds=99.0, environment={"device_model": "H200"}))
    cost = make_cost(runs, {"byol": 0.3, "simclr": 0.1}, GPU_A)
    (comparison,) = comparisons(runs, Prices((cost,)))
    assert answer(comparison)[1] == (
        "SimCLR is the cheapest to train in calibrated time on Imaginary A1, bfloat16, torch 2.14 (70 s); BYOL "
        "takes 3.5 min, 3.0 times as long."
    )
    doubted = Prices((make_cost(runs, {"byol": 0.3, "simclr": 0.1}, GPU_A, flags=["shared device"]),))
    assert "so no entry is called the cheapest" in answer(comparisons(runs, doubted)[0])[1]


def test_where_nothing_beats_the_untrained_network_that_is_the_headline(make_record: Any) -> None:
    records = [make_record(e, top1=t) for e, t in (("random_init", 33.0), ("byol", 33.4), ("simclr", 31.0))]
    (comparison,) = comparisons(records)
    said = answer(comparison)
    assert said[0] == (
        "No method is significantly better than an untrained network after 10 epochs on cifar10-jpeg (one seed each)."
    )
    assert len(said) == 2 and said[1].startswith("Compared with random init (33.0")
    assert not any("highest" in sentence or "cheapest" in sentence for sentence in said)
    (better,) = comparisons([*records, make_record("vicreg", top1=40.0)])
    assert "VICReg has the highest linear top-1" in answer(better)[0]


def test_equal_means_are_no_order(make_record: Any) -> None:
    records = [make_record(e, top1=t) for e, t in (("byol", 45.01), ("simclr", 44.98), ("vicreg", 40.0))]
    (comparison,) = comparisons(records)
    assert answer(comparison)[0] == (
        "After 10 epochs on cifar10-jpeg, the same linear top-1 is reached by BYOL (45.0 ± 1.0%) and SimCLR "
        "(45.0 ± 1.0%), above the other self-supervised entries (preliminary, one seed; ± is the sampling error of the "
        "test split)."
    )
    (comparison,) = comparisons(records[:2])
    assert "above the other" not in answer(comparison)[0] and "highest" not in answer(comparison)[0]
