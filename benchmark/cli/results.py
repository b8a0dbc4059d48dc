"""The commands that read records: report, leaderboard, compare, merge. None of them imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.console import plain_console
from benchmark.cli.options import Hardware, Results, Trials
from benchmark.cli.pages import read_prices, read_results, watch, write_pages
from benchmark.errors import UserError
from benchmark.files.disk import write_atomically, writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from benchmark.analysis.calibration import Prices
    from benchmark.analysis.standings import Standing
    from benchmark.records.schema import Record

app = typer.Typer()


@app.command()
def report(
    results: Results,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    trials: Trials = False,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Only the runs of this one, such as epochs=2; studies stay.")
    ] = None,
    hardware: Hardware = None,
    pictures: Annotated[
        bool | None,
        typer.Option(
            "--pictures/--no-pictures",
            help="Show images of other people's datasets, too; or none, of your own files neither (shapes always are).",
        ),
    ] = None,
    predict: Annotated[
        str | None,
        typer.Option("--predict", help="Draw what the ladders predict for a longer budget, such as epochs=64."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--watch", help="Keep the report current until Ctrl-C: write it again when results change.")
    ] = False,
) -> None:
    """Write the report of some results: page, figures, leaderboard, studies."""

    def write() -> list[str]:
        left_out = write_pages(
            results, out, trials=trials, pictures=pictures, budget=budget, hardware=hardware, predict=predict
        )
        return [*(f"left out: {line}" for line in left_out), str(out / "index.html")]

    if keep:
        watch(results, lambda: write()[-1], typer.echo)
    else:
        *left_out, page = write()
        for line in left_out:
            typer.echo(line, err=True)
        typer.echo(page)


@app.command()
def leaderboard(
    results: Results,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write all columns there, and runs.csv with a row per run beside it.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Sort by linear_top1, knn20, training_time, device_hours, ...")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the short table there, as Markdown.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Write the short table there, as LaTeX (booktabs).")] = None,
    hardware: Hardware = None,
    runs: Annotated[bool, typer.Option("--runs", help="Print a row per run.")] = False,
    trials: Trials = False,
) -> None:
    """Print or write the leaderboard of some results: a row per entry and comparison."""
    records, problems = read_results(results, trials=trials)
    prices, unread = read_prices(results, hardware)
    from benchmark.analysis import export, tables

    short, notes, standings = _short_board([record for _, record in records], prices, by)
    if csv is not None:
        with writing(csv):
            tables.write_leaderboard(records, csv.parent, name=csv.name, by=by, prices=prices)
    for path, form in ((markdown, export.to_markdown), (latex, export.to_latex)):
        if path is not None:
            with writing(path):
                write_atomically(path, form(short, notes, standings))
    for line in [*(f"skipped: {problem}" for problem in [*problems, *unread]), *notes]:
        typer.echo(line, err=True)
    written = [path for path in (csv, markdown, latex) if path is not None]
    for path in written:
        typer.echo(path)
    if runs:
        typer.echo(tables.runs(records, Path.cwd(), prices).pipe(tables.without_formulas).to_csv(index=False), nl=False)
    elif not written:
        typer.echo(export.to_markdown(short), nl=False)


def _short_board(
    records: Sequence[Record], prices: Prices, by: str | None
) -> tuple[pd.DataFrame, list[str], list[Standing]]:
    """The short leaderboard, what its costs were measured by, and the standing of each row."""
    from benchmark.analysis import export, tables
    from benchmark.analysis.comparison import comparisons
    from benchmark.analysis.standings import standings
    from benchmark.report import step_costs

    every = comparisons(records, prices)
    board = tables.leaderboard(records, prices)
    words = standings(every)
    board = board if by is None else export.sorted_by(board, by)
    return export.short(board), step_costs.sentences(every, prices), [words[place] for place in board.index]


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A results folder.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
) -> None:
    """Show how two results folders were run differently, and what changed beyond noise."""
    records = []
    for folder in (first, second):
        pairs, problems = read_results([folder])
        records.append([record for _, record in pairs])
        for problem in problems:
            typer.echo(f"skipped: {problem}", err=True)
    from benchmark.cli.tables import change_table, unlike_table

    console = plain_console()
    console.print(unlike_table(*records))
    console.print(change_table(*records))


@app.command()
def merge(
    results: Results,
    out: Annotated[Path, typer.Option("--out", help="Folder that all runs go to.")],
    signers: Annotated[
        Path | None,
        typer.Option(
            "--signers", help="Take only what one of these has signed: a file of ssh-keygen's allowed signers."
        ),
    ] = None,
) -> None:
    """Join results of several machines, with their step costs; what does not belong together is named and refused."""
    read_results(results, trials=True, needed=not read_prices(results)[0].costs)
    from benchmark.analysis.merge import merge as merge_results

    merged = merge_results(results, out, signers)
    for folder, by in merged.signed.items():
        typer.echo(f"{folder}: signed by {by}" + ("" if signers else "; --signers FILE says whose key that is"))
    for line in merged.refused:
        typer.echo(f"refused: {line}", err=True)
    for path in merged.left_behind:
        typer.echo(f"left behind: {path}: is no regular file, and only those are copied", err=True)
    summary = f"{out}: {len(merged.taken)} runs taken, {merged.there} were there, {len(merged.refused)} refused"
    if merged.added:
        summary += f"; {merged.added} files added to runs that lacked them"
    if merged.costs:
        summary += f"; {merged.costs} step-cost records taken"
    if merged.unverifiable:
        summary += f"; keys of {merged.unverifiable} unverifiable (their records do not say what they are made from)"
    typer.echo(summary)
    if merged.refused:
        raise typer.Exit(1)


@app.command()
def sign(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    key: Annotated[
        Path, typer.Option("--key", help="A private key of ssh-keygen's, or the public half of an agent's.")
    ],
) -> None:
    """Sign a results folder for another laboratory, which `bench merge --signers` then checks."""
    from benchmark.records.cost import find_costs
    from benchmark.records.folder import find_records, run_files
    from benchmark.records.signature import SIGNATURE, SIGNED
    from benchmark.records.signature import sign as sign_files

    read_results([results], trials=True, needed=not read_prices([results])[0].costs)
    runs, problems = find_records([results])
    costs, unread = find_costs([results])
    if problems or unread:
        raise UserError("\n".join([f"{results}: is not signed, because of what it holds:", *problems, *unread]))
    files = [file for path, _ in runs for file in run_files(path.parent)] + [path for path, _ in costs]
    fingerprint = sign_files(results, files, key)
    typer.echo(
        f"{results}: {len(files)} files of {len(runs)} runs are signed with {fingerprint} ({SIGNED}, {SIGNATURE})"
    )
