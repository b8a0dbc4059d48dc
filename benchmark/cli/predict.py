"""`bench plan --from`: what finished ladders predict for a longer budget, read from records alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from benchmark.cli.console import plain_console
from benchmark.cli.pages import read_prices, read_results
from benchmark.errors import UserError
from benchmark.experiment.explain import with_settings
from benchmark.experiment.files import find_experiment
from benchmark.files.disk import writing
from benchmark.text import listing

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.analysis.ladder_curves import Ladder, Prediction
    from benchmark.cli.request import RunRequest
    from benchmark.experiment.spec import Experiment


@dataclass(frozen=True)
class PredictionRequest:
    """The options of `bench plan` that ask for a prediction.

    Attributes:
        results: folders with the records.
        held_out: how many of the longest rungs are left out and predicted from the shorter ones; None predicts.
        figure: where the figure goes, as SVG and PNG.
    """

    results: list[Path]
    held_out: int | None
    figure: Path | None

    @classmethod
    def of(
        cls, results: list[Path] | None, held_out: int | None, figure: Path | None, *, keep: bool
    ) -> PredictionRequest | None:
        """The request, or None without `--from`; a `UserError` where options do not go together."""
        options = {"--held-out": held_out, "--figure": figure}
        given = [name for name, value in options.items() if value is not None]
        if not results:
            if given:
                raise UserError(f"{given[0]} is for predictions; it needs --from RESULTS")
            return None
        if keep:
            raise UserError("--keep measures step costs, and --from only reads records; choose one of them")
        if len(given) == 2:
            raise UserError("--figure draws a prediction, and --held-out checks it; choose one of them")
        if figure is not None and figure.suffix not in (".svg", ".png"):
            raise UserError(f"--figure is '{figure}'; expected a name that ends in .svg or .png (both are written)")
        return cls(results, held_out, figure)


def predict(request: RunRequest, prediction: PredictionRequest) -> None:
    """Prints what some results predict for an experiment's longest budget, or checks such predictions on them.

    Raises:
        UserError: the records do not hold a ladder of that kind of budget, or not enough rungs.
    """
    results = prediction.results
    experiment, _ = with_settings(request.parse, request.settings or [], find_experiment(request.config))
    pairs, problems = read_results(results)
    prices, unread = read_prices(results)
    for problem in [*problems, *unread]:
        typer.echo(f"skipped: {problem}", err=True)
    from benchmark.analysis.ladder_curves import entry_ladders

    ladder = _ladder(entry_ladders([record for _, record in pairs], prices), experiment, results)
    if prediction.held_out is not None:
        _check(ladder, prediction.held_out)
    else:
        _predict(ladder, experiment, prediction.figure)


def _ladder(ladders: list[Ladder], experiment: Experiment, results: list[Path]) -> Ladder:
    """The one ladder with the experiment's kind of budget, and its entries that are the experiment's."""
    where, kind = f"--from {listing(map(str, results))}", experiment.budget.rungs()[-1].kind
    alike = [ladder for ladder in ladders if ladder.kind == kind]
    if not alike:
        kinds = sorted({ladder.kind for ladder in ladders})
        found = f"has budgets of {listing(kinds)}" if kinds else "has no run that was trained and measured"
        hint = f"; expected --budget {kinds[0]}=LIMIT" if kinds else ""
        raise UserError(f"{where}: {found}, and the experiment's budget is one of {kind}{hint}")
    names = {entry.name for entry in experiment.entries}
    chosen = [(ladder, [curve for curve in ladder.curves if curve.row.first.entry in names]) for ladder in alike]
    chosen = [(ladder, curves) for ladder, curves in chosen if curves]
    if not chosen:
        entries = sorted({curve.row.first.entry for ladder in alike for curve in ladder.curves})
        raise UserError(f"{where}: has no entry of {experiment.name}; there are: {', '.join(entries)}")
    if len(chosen) > 1:
        raise UserError(
            f"{where}: has {len(chosen)} ladders of {kind} that cannot be compared (other images, sizes, batches or "
            "machines); name a folder with one of them"
        )
    ladder, curves = chosen[0]
    return replace(ladder, curves=tuple(curves))


def _predict(ladder: Ladder, experiment: Experiment, figure: Path | None) -> None:
    from benchmark.analysis import ladder_curves
    from benchmark.cli.tables import pair_table, prediction_table

    prediction = ladder_curves.predict(ladder, experiment.budget.rungs()[-1].limit)
    console = plain_console()
    console.print(prediction_table(prediction))
    if len(prediction.entries) > 1:
        console.print(pair_table(prediction))
    for line in _notes(prediction, experiment):
        typer.echo(line)
    if figure is not None:
        from benchmark.report.canvas import save
        from benchmark.report.prediction_figure import prediction_figure

        with writing(figure):
            for path in save(prediction_figure(prediction), figure.with_suffix("")):
                typer.echo(path)


def _notes(prediction: Prediction, experiment: Experiment) -> list[str]:
    """What a reader of the tables has to know: who is missing, what intervals are made from, how far to trust them."""
    from benchmark.report.prediction_figure import NO_CHECK

    notes = list(prediction.left_out)
    known = {curve.row.first.entry for curve in prediction.ladder.curves}
    missing = [e.name for e in experiment.entries if e.name not in known and e.method != "random_init"]
    if missing:
        notes.append(f"no records: {listing(missing)}")
    first = prediction.ladder.first
    settings = (
        ("dataset.name", (first.config.get("dataset") or {}).get("name"), experiment.dataset.name),
        ("batch_size", first.config.get("batch_size"), experiment.batch_size),
    )
    for name, theirs, ours in settings:
        if theirs is not None and theirs != ours:
            notes.append(f"the records have {name} {theirs}, the experiment {ours}: predicted is the records' setting")
    if prediction.single:
        notes.append(
            f"one seed a rung: {listing(prediction.single)}; their intervals have the test split's sampling error in "
            "place of the spread between seeds"
        )
    check = prediction.check
    notes.append(NO_CHECK if check is None else f"check on the longest rung of these records: {check.sentence}")
    return notes


def _check(ladder: Ladder, count: int) -> None:
    from benchmark.analysis import held_out, ladder_curves
    from benchmark.analysis.prediction import MIN_RUNGS
    from benchmark.cli.tables import held_out_table

    needed = MIN_RUNGS + count
    check = held_out.held_out([curve.curve for curve in ladder.curves], count)
    if check is None:
        why = ladder_curves.few_rungs(ladder.curves, ladder.kind, needed)
        raise UserError(f"--held-out is {count}: the check {why}")
    few = [curve for curve in ladder.curves if len(curve.budgets) < needed]
    plain_console().print(held_out_table(check, ladder.kind))
    if few:
        typer.echo(f"the check {ladder_curves.few_rungs(few, ladder.kind, needed)}")
    for order in check.wrong:
        typer.echo(
            f"wrong order at {order.budget:g} {ladder.kind}: {order.first} was predicted above {order.second} with "
            f"probability {order.probability:.2f}, and was {-order.difference:.1f} points below"
        )
    typer.echo(check.sentence)
