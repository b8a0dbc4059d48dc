"""`bench plan --from` on invented records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

EPOCHS = (1, 4, 16, 32)
VALUES = {"simclr": (38.0, 42.0, 44.0, 44.6), "vicreg": (30.0, 40.0, 45.0, 46.8)}


@pytest.fixture
def results(make_record: Any, store: Any, tmp_path: Path) -> Any:
    """Writes a ladder of some entries with the first rungs of `EPOCHS`."""

    def write(rungs: int = 3, entries: tuple[str, ...] = ("simclr", "vicreg"), seeds: int = 2, **options: Any) -> Path:
        folder = tmp_path / "results"
        for entry in entries:
            for epochs, top1 in list(zip(EPOCHS, VALUES[entry], strict=True))[:rungs]:
                paid = {"seconds": 30.0 * epochs, "budget": {"epochs": epochs}}
                for seed in range(seeds):
                    store(folder, make_record(entry, seed, top1=top1 + seed, **paid, **options))
        return folder

    return write


@pytest.mark.slow
def test_a_longer_budget_is_predicted_from_records_alone(bench: Any, results: Any) -> None:
    code, printed = bench("plan", "quickstart", "--from", results(), "--budget", "epochs=64")
    assert code == 0, printed
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if " 1, 4, 16 " in line}
    assert list(rows) == ["vicreg", "simclr"]  # the most accurate first
    vicreg = rows["vicreg"]
    assert vicreg[1:6] == ["1,", "4,", "16", "2", "45.5"]
    assert float(vicreg[7]) < float(vicreg[6]) < float(vicreg[9]) and vicreg[8] == "to"
    assert vicreg[-2:] == ["32.0", "min"]  # 480 s at 16 epochs
    (pair,) = (line.split() for line in printed.splitlines() if line.split()[:2] == ["vicreg", "simclr"])
    assert 0.5 < float(pair[2]) <= 1.0
    assert "at 64 epochs" in printed and "linear top-1 on the test split" in printed
    assert "no records: cnn_jepa, ijepa, simclr_vit and supervised" in printed
    assert "the records have batch_size 256, the experiment 64" in printed
    assert "These records cannot check the prediction: that needs an entry with at least four rungs." in printed


@pytest.mark.slow
def test_four_rungs_check_themselves(bench: Any, results: Any) -> None:
    folder = results(4, seeds=1)
    code, printed = bench("plan", "quickstart", "--from", folder, "--budget", "epochs=64")
    assert code == 0 and "check on the longest rung of these records: 90% intervals held " in printed
    assert "one seed a rung: vicreg and simclr; their intervals have the test split's sampling error" in printed
    code, printed = bench("plan", "quickstart", "--from", folder, "--held-out", "1")
    assert code == 0, printed
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line.split()[1:2] == ["32"]}
    assert {entry: row[-2] for entry, row in rows.items()} == {"vicreg": "46.8", "simclr": "44.6"}
    assert {row[-1] for row in rows.values()} <= {"yes", "no"}
    inside = [row[-1] for row in rows.values()].count("yes")
    assert f"90% intervals held {inside} of 2 measured accuracies ({inside / 2:.0%})" in printed


@pytest.mark.slow
def test_a_wrong_order_and_too_narrow_intervals_are_said_in_words(
    bench: Any, results: Any, make_record: Any, store: Any
) -> None:
    folder = results(3)
    for entry, top1 in (("simclr", 60.0), ("vicreg", 20.0)):
        for seed in (0, 1):
            store(folder, make_record(entry, seed, top1=top1, budget={"epochs": 64}))
    code, printed = bench("plan", "quickstart", "--from", folder, "--held-out", "1")
    assert code == 0
    assert "wrong order at 64 epochs: vicreg was predicted above simclr with probability " in printed
    assert "and was 40.0 points below" in printed
    assert "held 0 of 2 measured accuracies (0%), below the nominal 90%: the intervals may be too narrow" in printed
    assert "1 of 1 pairs were in the wrong order" in printed


@pytest.mark.slow
def test_the_figure_is_written_as_svg_and_png(bench: Any, results: Any, tmp_path: Path) -> None:
    folder, figure = results(entries=("vicreg",)), tmp_path / "figures" / "longer.png"
    code, printed = bench("plan", "quickstart", "--from", folder, "--budget", "epochs=64", "--figure", figure)
    assert code == 0, printed
    assert printed.splitlines()[-2:] == [str(figure.with_suffix(".svg")), str(figure)]
    assert all(figure.with_suffix(ending).stat().st_size > 5_000 for ending in (".svg", ".png"))


def test_what_cannot_be_predicted_is_refused_in_one_line(bench: Any, results: Any) -> None:
    folder = results(2)
    plan = ("plan", "quickstart", "--from", folder)
    for options, message in (
        (("--budget", "epochs=64"), "a prediction needs at least 3 rungs of an entry, such as epochs=1,4,8; too few: "
         "simclr and vicreg with 2 (1 and 4 epochs)"),
        (("--held-out", "1"), "--held-out is 1: the check needs at least 4 rungs of an entry, such as epochs=1,4,8,16; "
         "too few: simclr and vicreg with 2 (1 and 4 epochs)"),
        (("--budget", "steps=64"), f"--from {folder}: has budgets of epochs, and the experiment's budget is one of "
         "steps; expected --budget epochs=LIMIT"),
        (("--methods", "ijepa"), f"--from {folder}: has no entry of quickstart; there are: simclr, vicreg"),
        (("--figure", "longer.pdf"), "--figure is 'longer.pdf'; expected a name that ends in .svg or .png"),
        (("--figure", "longer.svg", "--held-out", "1"), "--figure draws a prediction, and --held-out checks it"),
        (("--keep",), "--keep measures step costs, and --from only reads records; choose one of them"),
    ):  # fmt: skip
        code, printed = bench(*plan, *options)
        assert code == 2 and f"error: {message}" in printed and "Traceback" not in printed, printed
    code, printed = bench("plan", "quickstart", "--held-out", "1")
    assert code == 2 and "--held-out is for predictions; it needs --from RESULTS" in printed


def test_ladders_that_cannot_be_compared_are_refused(bench: Any, results: Any) -> None:
    results(3)
    folder = results(3, config={"batch_size": 64})
    code, printed = bench("plan", "quickstart", "--from", folder, "--budget", "epochs=64")
    assert code == 2 and "has 2 ladders of epochs that cannot be compared" in printed
