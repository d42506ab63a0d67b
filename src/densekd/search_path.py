"""Modules are not looked for in the current folder, where a downloaded data set may lie."""

import os
import sys

# The folder that holds the package.
_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120


def leave_current_folder() -> None:
    """Take the current folder off ``sys.path``, where ``python -m densekd`` puts it; do nothing for other programs.

    The user's own modules are found without it, see :mod:`densekd.own_modules`.
    """
    # This is how a package sees that it is about to be run.
    if sys.argv[:1] != ["-m"] or sys.flags.safe_path or not _runs_densekd():
        return
    # A checkout that is not installed is run from the folder that holds it.
    if sys.path and os.path.abspath(sys.path[0]) != _HOME:  # noqa: PTH100
        del sys.path[0]


def spare_children() -> None:
    """Keep the current folder off ``sys.path`` of the processes that this one starts."""
    # A checkout that is not installed is found by them in no other way.
    if os.path.abspath(os.curdir) != _HOME:  # noqa: PTH100
        os.environ.setdefault("PYTHONSAFEPATH", "1")


def _runs_densekd() -> bool:
    words = sys.orig_argv
    if "-m" not in words[:-1]:
        return False
    return words[words.index("-m") + 1] in ("densekd", "densekd.__main__")
