"""Commands about data: ``datasets``, ``data check``, ``data prepare``, ``data shard``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from densekd.cli.arguments import JsonPath, Overrides, RecipePath, Workers, read_recipe
from densekd.cli.console import catalogue_rows, console, print_next, print_plain, write_json
from densekd.cli.own_files import DATA_CHECK, LISTED, Force, require_own_json
from densekd.terminal import track

data_app = typer.Typer(
    help="Check, prepare and pack data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def datasets(json: JsonPath = None, force: Force = False) -> None:
    """List the datasets, and the class maps for teachers."""
    from densekd.cli.inspection import describe_class_maps, describe_datasets

    require_own_json(json, LISTED, force)
    table = describe_datasets()
    console.print(table)
    console.print(describe_class_maps())
    write_json(json, catalogue_rows(table))
    print_next("densekd", "init", "DATA", listing=True)


def check(
    recipe: RecipePath,
    overrides: Overrides = None,
    json: JsonPath = None,
    workers: Workers = 4,
    force: Force = False,
) -> None:
    """Read every image and label of a recipe's data. Exit status 1 if a training would fail."""
    from densekd.run.data_check import check_data, data_table

    require_own_json(json, DATA_CHECK, force)
    report = check_data(read_recipe(recipe, overrides), workers)
    console.print(data_table(report))
    write_json(json, report.to_json())
    if report.fails:
        raise typer.Exit(1)
    print_next("densekd", "check", recipe, *(overrides or ()))


def prepare(
    dataset: Annotated[str, typer.Argument(help="cityscapes or cocostuff10k")],
    root: Annotated[Path, typer.Argument(help="folder of the data")],
    workers: Workers = 4,
) -> None:
    """Make training labels of what a benchmark publishes."""
    from densekd.data.prepare import PREPARE
    from densekd.registry import resolve

    prepare_labels = resolve(dataset, PREPARE, "dataset to prepare")
    count = prepare_labels(root, workers)
    print_plain(f"{count} labels written")
    print_next("densekd", "recipes", dataset)


def shard(
    recipe: RecipePath,
    out: Annotated[Path, typer.Argument(help="folder for the tars and their indices")],
    overrides: Overrides = None,
    megabytes: Annotated[int, typer.Option(min=1, help="size of one tar")] = 500,
    images: Annotated[
        Literal["as-is", "uncompressed"],
        typer.Option(help="uncompressed: larger, and nothing to decode"),
    ] = "as-is",
    force: Force = False,
) -> None:
    """Pack a recipe's data into tars. Train from them with data.dataset=shards data.root=OUT."""

    from densekd.builders.data import build_files
    from densekd.data.shards import require_free, write_shards

    data = read_recipe(recipe, overrides).data
    # A recipe may train and validate on one split; it is packed once.
    splits = list(dict.fromkeys((data.train, data.val)))
    if not force:
        require_free(out, splits)
    for split in splits:
        files = build_files(data, split)
        written = write_shards(files, split, out, megabytes, images)
        for _ in track(written, f"packing {split}", len(files)):
            pass
        print_plain(f"{split}: {len(files)} samples in {out}")
    print_next("densekd", "train", recipe, "data.dataset=shards", f"data.root={out}")


for command in (check, prepare, shard):
    data_app.command()(command)
