"""Badges: the words for a row's standing, each with its explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.comparison import MIN_RESULT

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNSAFE = "its times are unsafe, its accuracies are not"
WORDS = {
    "preliminary": f"fewer than {MIN_RESULT} completed seeds: no result yet",
    "different backbone": "its accuracy comes from method and network together",
    "collapsed": "the features lost their spread; probed and shown, never ranked",
    "diverged": "a loss was not finite",
    "failed": "an exception; the limits have its message",
    "tuned": "the best point of a sweep on validation, trained anew on fresh seeds",
    "untuned": "the recipe's settings, on the seeds of the tuned row",
    "as the recipe has it": "the best settings of the sweep are those of the recipe",
    "test images in train": "its accuracies are unsafe",
    "input-bound": f"training waited for data; {_UNSAFE}",
    "busy machine": f"other processes used the cores; {_UNSAFE}",
    "shared device": f"other processes used the device; {_UNSAFE}",
    "resumed": f"a run was interrupted and continued; {_UNSAFE}",
    "throttled": f"heat or power supply held the clock down; {_UNSAFE}",
    "tracked": f"a tracker followed the run; {_UNSAFE}",
}


def badges(words: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Words with what is known about them; one may say more, such as `2 completed, 1 diverged` or `invalid: ...`."""
    return tuple((word, _explained(word)) for word in words)


def _explained(word: str) -> str:
    endings = [WORDS[ending] for ending in ("collapsed", "diverged", "failed") if ending in word]
    return WORDS.get(word) or "; ".join(endings)
