"""The errors that commands end with."""

from __future__ import annotations


class UserError(Exception):
    """Bad usage, configuration or input (exit code 2). Its message names the place, the value and what was expected."""


class GroupLostError(Exception):
    """Another process of the group has ended, so that this one cannot continue."""


class FirstFailedError(Exception):
    """The first rank failed at what it does for all ranks."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The user interrupted a run; its state is saved."""
