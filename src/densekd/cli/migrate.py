"""Command for people who come from another project: ``convert-config``."""

from pathlib import Path
from typing import Annotated

import typer

from densekd.cli.console import print_error_note, print_next
from densekd.errors import UserError
from densekd.terminal import write_document


def convert_config(
    source: Annotated[
        list[str],
        typer.Argument(help="a configuration, a shell script, or after -- the command itself", show_default=False),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="file of the recipe; default: print it")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", min=1, help="devices of the original")] = None,
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="images of an epoch, for data of your own")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="whose command: cirkd, hwd, torchdistiller")] = None,
    pick: Annotated[int | None, typer.Option("--pick", min=1, help="which command of a script")] = None,
    force: Annotated[bool, typer.Option("--force", "--overwrite", help="replace the file of --out")] = False,
) -> None:
    """Turn another project's configuration into a recipe. OpenMMLab, CIRKD, HWD, SegDistill, TorchDistiller."""
    from densekd.atomic import write_text
    from densekd.convert_config import SYSTEMS, convert_command, convert_file

    if system is not None and system not in SYSTEMS:
        raise UserError(f"--system {system}: one of {', '.join(SYSTEMS)}.")
    if out is not None and out.exists() and not force:
        raise UserError(f"{out} is there already; --force replaces it.")
    is_command = len(source) > 1 or (" " in source[0].strip() and not Path(source[0]).exists())
    if is_command:
        converted = convert_command(source, gpus, images, system)
    else:
        converted = convert_file(Path(source[0]), gpus, images, system, pick)
    text = converted.text()
    if out is None:
        write_document(text)
    else:
        write_text(out, text)
    for line in converted.report.lines():
        print_error_note(line)
    if out is not None:
        print_next("densekd", "check", out)
