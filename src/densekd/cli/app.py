"""Command line: a table of commands, each of which imports what it needs when it runs."""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from densekd.cli.benchmark import benchmark
from densekd.cli.compare import compare
from densekd.cli.console import console, print_error, print_error_note
from densekd.cli.data import data_app, datasets
from densekd.cli.doctor import doctor
from densekd.cli.evaluate import evaluate, predict
from densekd.cli.export import export
from densekd.cli.fetch import fetch
from densekd.cli.init import init
from densekd.cli.migrate import convert_config
from densekd.cli.models import convert, inspect, losses, models
from densekd.cli.recipe import docs, recipes, schema
from densekd.cli.sweep import sweep
from densekd.cli.train import cache, check, quickstart, train
from densekd.cli.usage import describe_usage_error, is_usage_error
from densekd.errors import UserError, without_traceback
from densekd.explain import explain
from densekd.garbage import search_seldom
from densekd.own_modules import place_of
from densekd.search_path import spare_children
from densekd.stopping import Ended, Stopped, stop_at_once, stop_signals
from densekd.terminal import be_quiet, hook_tracebacks, prepare_streams

# In the order of ``--help``.
COMMANDS = (
    init,
    train,
    sweep,
    quickstart,
    evaluate,
    predict,
    export,
    benchmark,
    compare,
    doctor,
    inspect,
    convert,
    convert_config,
    fetch,
    check,
    cache,
    losses,
    models,
    datasets,
    recipes,
    schema,
    docs,
)

# By this variable a shell asks for completions.
_COMPLETION = "_DENSEKD_COMPLETE"
# Exit status after Ctrl-C.
_INTERRUPTED = 130

app = typer.Typer(
    help="Distil big segmentation, detection and depth models into small ones that ship.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")
for command in COMMANDS:
    app.command()(command)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but warnings and errors")] = False,
) -> None:
    if version:
        from densekd import __version__

        console.print(f"densekd {__version__}", highlight=False)
        raise typer.Exit
    context.obj = debug


def main() -> None:
    """Run the command line; one clear message and an exit status for what the user can fix."""
    search_seldom()
    # A shell that completes a line runs the program, and reads what it prints.
    if _COMPLETION in os.environ:
        app(prog_name="densekd")
    if _taken("--debug"):
        # For the processes that this one starts.
        os.environ["DENSEKD_DEBUG"] = "1"
    debug = os.environ.get("DENSEKD_DEBUG") == "1"
    if _taken("--quiet"):
        be_quiet()
    warnings.filterwarnings("ignore")
    prepare_streams()
    _require_folder()
    spare_children()
    # What the user can fix is one message; what we have to fix says how to see where.
    try:
        with stop_signals(stop_at_once("Stopped; the same command begins again.")):
            status = app(standalone_mode=False)
    except UserError as error:
        if debug:
            hook_tracebacks()
            raise
        print_error(str(error))
        sys.exit(error.code)
    except Stopped as stopped:
        print_error(str(stopped))
        sys.exit(stopped.code)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except Ended:
        raise
    except SystemExit as error:
        # No command ends so: code that it ran did, and what follows was not done.
        print_error(f"The program was ended by sys.exit({error.code!r}){place_of(error)}, and not by densekd.")
        sys.exit(error.code if isinstance(error.code, int) and error.code else 1)
    except Exception as error:
        if is_usage_error(error):
            sys.exit(_show_usage_error(error))
        if debug:
            hook_tracebacks()
            raise
        print_error(_describe(error))
        sys.exit(1)
    # What a command returns is no status, unless it ended by one.
    status = status if isinstance(status, int) else 0
    if status == _INTERRUPTED:
        print_error("Stopped from the keyboard; the same command begins again.")
    sys.exit(status)


def _taken(flag: str) -> bool:
    """Take a flag off the line, on which it may stand anywhere before ``--``, and return whether it was there."""
    words = sys.argv[: sys.argv.index("--")] if "--" in sys.argv else sys.argv
    if flag not in words:
        return False
    sys.argv.remove(flag)
    return True


def _require_folder() -> None:
    """End where the current folder was removed: libraries of torch crash there."""
    try:
        Path.cwd()
    except OSError:
        print_error("The current folder was removed; change into one that is there (cd).")
        sys.exit(1)


def _describe(error: Exception) -> str:
    """Say what the user can mend of an error that no part of densekd foresaw, or where to see it."""
    from densekd.data.watched import explain_lost

    explained = explain_lost(error) or explain(error)
    if explained is not None:
        return f"{explained} --debug shows where."
    message = without_traceback(str(error))
    place = place_of(error)
    if place:
        return f"{type(error).__name__}: {message}{place}, in code that is not densekd's. --debug shows more."
    return f"{type(error).__name__}: {message}\nThis should not happen; --debug shows where."


def _show_usage_error(error: Any) -> int:
    """Show what is wrong with the command line itself; return the exit status."""
    # Without any argument a command shows its help.
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    words = sys.argv[1:]
    context = getattr(error, "ctx", None)
    if context is not None:
        print_error_note(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n")
    print_error(describe_usage_error(error, words))
    return int(error.exit_code)
