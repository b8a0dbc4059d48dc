"""The errors that commands end with, and which of several processes says them."""

from __future__ import annotations

import os


class UserError(Exception):
    """Bad usage, configuration or input. Its message names the place, the value and what was expected.

    The command line prints it without a traceback and ends with exit code 2.
    """


def is_spokesman() -> bool:
    """Whether this process tells the user what is wrong: of several that were started on one machine, the first."""
    return "MASTER_PORT" not in os.environ or os.environ.get("LOCAL_RANK", "0") == "0"


class GroupLostError(Exception):
    """Another process of the group has ended, so that nothing can be agreed on any more."""


class FirstFailedError(Exception):
    """What the first rank did for all of them failed there."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The run was interrupted and its state saved."""
