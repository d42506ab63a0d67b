"""Filling the teacher cache, with its size said first and progress shown."""

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from densekd.builders.teacher_cache import Cache
from densekd.errors import UserError
from densekd.run.devices import training_device
from densekd.run.folder import is_first_process
from densekd.tasks.common import to_float
from densekd.teacher_cache import fill, gigabytes


def fill_cache(cache: Cache, console: Console, device: torch.device | None = None) -> None:
    """Say how large the teacher cache is, and write what is missing of it.

    Args:
        cache: of a recipe.
        console: for people.
        device: where the teacher runs; None: a GPU where there is one.

    Raises:
        UserError: the disk is too small, or another process than the first finds the cache
            incomplete.
    """
    store = cache.store
    views = cache.writer.views
    entry = f"{store.layout.entry_bytes / 1e3:.4g} kB each"
    size = f"{gigabytes(store.layout.bytes)} in {store.folder}"
    console.print(
        f"teacher cache: {len(views.training)} images x {views.count} views, {entry}: {size}",
        highlight=False,
        soft_wrap=True,
    )
    missing = store.missing()
    if not missing:
        return
    if not is_first_process():
        raise UserError(f"The teacher cache {store.folder} is not complete; write it with 'densekd cache' first.")
    device = training_device() if device is None else device
    teacher = cache.teacher.to(device)

    def extract(images: Tensor) -> dict[str, Tensor]:
        """Return the teacher's features of uint8 images ``[B, 3, H, W]``."""
        images = to_float(images.to(device)).contiguous(memory_format=torch.channels_last)
        features: dict[str, Tensor] = teacher(images)
        return features

    entries = sum(len(store.layout.shards[index]) for index in missing)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        row = progress.add_task("filling the teacher cache", total=entries)
        for count in fill(store, cache.writer, extract):
            progress.update(row, advance=count)
