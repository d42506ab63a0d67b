"""Folder to carry to a machine without a network: recipe, weights, the hubs' caches, checksums of all."""

import os
from pathlib import Path

from densekd.atomic import write_text
from densekd.errors import UserError
from densekd.recipe import Recipe, dump_recipe

RECIPE = "recipe.yaml"
CHECKSUMS = "SHA256SUMS"
# Where libraries keep what they fetched, by the variables that say so.
CACHES = {"HF_HOME": "huggingface", "TORCH_HOME": "torch"}


def write_carried(recipe: Recipe, folder: Path) -> int:
    """Write the recipe and the checksums of all files into a folder that is carried.

    Args:
        recipe: with overrides applied; its paths start from the folder.
        folder: with what was fetched.

    Returns:
        Bytes of all files.
    """
    # The hub's client, which this imports, reads once where it keeps files: not before that is said.
    from densekd.models.checkpoints.download import digest_of_file

    write_text(folder / RECIPE, dump_recipe(recipe))
    lines: list[str] = []
    size = 0
    for path in sorted(folder.rglob("*")):
        # A cache holds its files once, and links to them.
        if not path.is_file() or path.is_symlink() or path.name == CHECKSUMS:
            continue
        lines.append(f"{digest_of_file(path)}  {path.relative_to(folder).as_posix()}")
        size += path.stat().st_size
    write_text(folder / CHECKSUMS, "\n".join(lines) + "\n")
    return size


def how_to_use() -> list[str]:
    """Return the commands for the other machine, in the folder."""
    caches = " ".join(f"{variable}=$PWD/{name}" for variable, name in CACHES.items())
    train = f"{caches} HF_HUB_OFFLINE=1 densekd train {RECIPE} data.root=DATA"
    return [f"sha256sum --check --quiet {CHECKSUMS}", train]


def use_caches_in(folder: Path) -> None:
    """Let libraries that are not imported yet keep in a folder what they fetch.

    Raises:
        UserError: the folder holds something else.
    """
    if folder.exists() and not (folder / CHECKSUMS).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--carry {folder}: holds something else; name a folder that is empty or new.")
    for variable, name in CACHES.items():
        os.environ[variable] = str((folder / name).absolute())
