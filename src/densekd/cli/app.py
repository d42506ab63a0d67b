"""Command line: a table of commands, each of which imports what it needs when it runs."""

import os
import sys
import warnings
from typing import Annotated

import typer

from densekd.cli.console import console, print_error
from densekd.cli.data import data_app, datasets
from densekd.cli.evaluate import evaluate, predict
from densekd.cli.fetch import fetch
from densekd.cli.migrate import convert_config
from densekd.cli.models import convert, inspect, losses, models
from densekd.cli.recipe import docs, recipes, schema
from densekd.cli.train import cache, check, quickstart, train
from densekd.errors import UserError
from densekd.stopping import Stopped, stop_at_once, stop_signals

# In the order of ``--help``.
COMMANDS = (
    train,
    quickstart,
    evaluate,
    predict,
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

app = typer.Typer(
    help="Distil big segmentation, detection and depth models into small ones that ship.",
    no_args_is_help=True,
    add_completion=False,
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
) -> None:
    if version:
        from densekd import __version__

        console.print(f"densekd {__version__}", highlight=False)
        raise typer.Exit
    context.obj = debug


def main() -> None:
    """Run the command line; one clear message and an exit status for what the user can fix."""
    debug = "--debug" in sys.argv or os.environ.get("DENSEKD_DEBUG") == "1"
    if "--debug" in sys.argv:
        # Accepted anywhere on the line, where people type it: after the command that failed.
        sys.argv.remove("--debug")
    warnings.filterwarnings("ignore")
    # What the user can fix is one message; what we have to fix says how to see where.
    try:
        with stop_signals(stop_at_once("Stopped.")):
            app()
    except UserError as error:
        if debug:
            raise
        print_error(str(error))
        sys.exit(error.code)
    except Stopped as stopped:
        print_error(str(stopped))
        sys.exit(stopped.code)
    except KeyboardInterrupt:
        print_error("Stopped.")
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        print_error(f"{type(error).__name__}: {error}\nThis should not happen; --debug shows where.")
        sys.exit(1)
