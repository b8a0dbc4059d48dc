"""The error that a user can mend."""


class UserError(Exception):
    """Bad usage, configuration or input. Its message names the place, the value and what was expected.

    The command line prints it without a traceback and ends with exit code 2.
    """
