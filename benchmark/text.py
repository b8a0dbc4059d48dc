"""Durations, percentages and listings as sentences and tables have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable


T = TypeVar("T")


def duration(seconds: float | None) -> str:
    """Seconds in a unit that suits their size: `5.0 s`, `95 s`, `2.5 min`, `2.5 h`; empty if unknown."""
    if seconds is None:
        return ""
    if 0.0 < seconds < 0.095:
        return f"{seconds:.2g} s"
    if seconds < 119.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def remaining_text(training: float, probes: float | None) -> str:
    """What remains of a run: `2.5 min left`, or that of its training alone where the time of its probes is unknown."""
    return f"{duration(training)} of training left" if probes is None else f"{duration(training + probes)} left"


def with_interval(mean: float | None, half_width: float | None = None, digits: int = 1) -> str:
    """A mean with half the width of its interval, such as `45.0 ± 1.0`; empty if unknown."""
    if mean is None:
        return ""
    return f"{mean:.{digits}f}" + ("" if half_width is None else f" ± {half_width:.{digits}f}")


def listing(names: Iterable[str]) -> str:
    """`a, b and c`."""
    words = list(names)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def on_one_line(text: str) -> str:
    """The text with newlines and what else cannot be printed escaped; names of files may hold such characters."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the error's type if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def signed(difference: float, half_width: float | None = None, digits: int = 1) -> str:
    """A difference with its sign and half the width of its interval, such as `+3.1 ± 0.5`."""
    return f"{difference + 0.0:+.{digits}f}" + ("" if half_width is None else f" ± {half_width:.{digits}f}")


def p_text(p: float) -> str:
    """A p-value with three decimals: `0.004`, or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def no_formula(cell: T) -> T | str:
    """A cell of a CSV file: a text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP).

    Numbers stay, also as text.
    """
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
