from __future__ import annotations

from typing import Any

from benchmark.analysis.comparison import rows_of
from benchmark.report.run_files import RunFiles
from benchmark.report.section_figures import machine_figures


def test_every_figure_of_a_machine_has_a_file_a_title_and_a_caption(make_record: Any) -> None:
    records, files = [make_record("byol", seconds=50.0)], RunFiles()
    figures = machine_figures(records, rows_of(records), files)
    assert [stem for stem, *_ in figures] == ["learning_curves", "time", "step"]
    assert all(title and caption.text.endswith(".") for _, title, _, caption in figures)
    drawn = {stem: draw(3.3) is not None for stem, _, draw, _ in figures}
    assert drawn == {"learning_curves": False, "time": True, "step": False}
