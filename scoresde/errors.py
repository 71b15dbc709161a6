"""The errors a user can meet: each names the thing, the value and the way out.

The command line prints the message of a `ScoresdeError` without a traceback and leaves with its
`exit_code`: 2 for a slip in the call (a name, an option, a config key), 75 where the same call may
go on later, 1 for all else.
"""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """'1 row', '2 rows': the count and its noun, for messages."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class ScoresdeError(Exception):
    """Base of every error that scoresde raises on purpose."""

    exit_code = 1


class UsageError(ScoresdeError):
    """The request itself is wrong: a misspelt name, an option out of range, a contradiction."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that no member of a family bears."""


class PluginError(ScoresdeError):
    """Another package's member that cannot be imported."""


class OptionError(UsageError, ValueError):
    """An option that does not exist, has the wrong type or lies out of range."""


class Preempted(ScoresdeError):
    """The system asked the process to stop; what was done is safe and can go on later."""

    exit_code = 75


class DataError(ScoresdeError, ValueError):
    """An array or data file that cannot be used: wrong shape, dtype, non-finite values, damage."""


class DumpError(ScoresdeError):
    """A sample dump that cannot be written or read."""


class CheckpointError(ScoresdeError):
    """A checkpoint that cannot be written or read."""


class CapabilityError(ScoresdeError):
    """A score model was asked for something that it does not offer (a log-density, say)."""


class NonFiniteError(ScoresdeError, ArithmeticError):
    """A loss or a state left the finite numbers; the message says where."""
