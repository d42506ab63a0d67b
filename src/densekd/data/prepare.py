"""Conversion of a benchmark's published labels to the class-number PNGs that training reads."""

import importlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from densekd.atomic import atomic
from densekd.data.cocostuff import UNUSED
from densekd.data.files import find, first_folder
from densekd.errors import UserError
from densekd.terminal import track

_POLYGONS = "_polygons.json"
_TRAIN_IDS = "_labelTrainIds.png"

Job = tuple[Path, Path]  # source and target of one label


def prepare_cityscapes(root: Path, workers: int) -> int:
    """Draw ``*_labelTrainIds.png`` beside every ``*_polygons.json``, with the official cityscapesscripts.

    Files that exist already are kept, so an interrupted run goes on where it stopped.

    Args:
        root: the folder with ``gtFine`` and, optionally, ``gtCoarse``.
        workers: processes.

    Returns:
        How many labels were drawn.

    Raises:
        UserError: no polygons there, a damaged file, or cityscapesscripts is not installed.
    """
    _require_module("cityscapesscripts.preparation.json2labelImg", "cityscapes")
    # Coarse labels are an optional download.
    polygons: list[Path] = []
    for kind in ("gtFine", "gtCoarse"):
        if (root / kind).is_dir():
            polygons += find(root / kind, (_POLYGONS,)).values()
    if not polygons:
        raise UserError(f"{root}: no gtFine/<split>/<city>/*{_POLYGONS}; is this the root of Cityscapes?")
    jobs = [(path, Path(str(path).replace(_POLYGONS, _TRAIN_IDS))) for path in polygons]
    return _convert(_draw_polygons, jobs, workers)


def prepare_cocostuff10k(root: Path, workers: int) -> int:
    """Convert ``annotations/*.mat`` and lists to the layout that ``data/cocostuff.py`` reads.

    Images are linked, not copied.

    Args:
        root: the folder with ``images``, ``annotations`` and ``imageLists``.
        workers: processes.

    Returns:
        How many labels were converted.

    Raises:
        UserError: a missing list or file, or scipy is not installed.
    """
    _require_module("scipy.io", "cocostuff10k")
    first_folder((root / "imageLists",), "COCO-Stuff 10k lists")
    jobs: list[Job] = []
    for name, part in (("train", "train2014"), ("test", "test2014")):
        (root / "images" / part).mkdir(parents=True, exist_ok=True)
        for stem in (root / "imageLists" / f"{name}.txt").read_text(encoding="utf-8").split():
            image = root / "images" / f"{stem}.jpg"
            link = root / "images" / part / image.name
            if not image.is_file():
                raise UserError(f"{image}: missing, though imageLists/{name}.txt names it.")
            # Relative, so that the folder can be moved.
            if not link.exists():
                link.symlink_to(Path("..") / image.name)
            target = root / "annotations" / part / f"{stem}{_TRAIN_IDS}"
            jobs.append((root / "annotations" / f"{stem}.mat", target))
    return _convert(_convert_mat, jobs, workers)


PREPARE: dict[str, Callable[[Path, int], int]] = {
    "cityscapes": prepare_cityscapes,
    "cocostuff10k": prepare_cocostuff10k,
}


def _draw_polygons(source: Path, target: Path) -> None:
    module = importlib.import_module("cityscapesscripts.preparation.json2labelImg")
    with atomic(target) as temporary:
        module.json2labelImg(str(source), str(temporary), "trainIds")


def _convert_mat(source: Path, target: Path) -> None:
    """Write the 182 ids of a .mat as 0 (ignored) and 1..171, in the order of the ids that are used."""
    values: Any = importlib.import_module("scipy.io").loadmat(source)["S"]
    # The .mat counts its ids from 1; ids that no pixel should have are ignored.
    used = [k + 1 for k in range(182) if k not in UNUSED]
    table = np.zeros(256, dtype=np.uint8)
    table[used] = np.arange(1, len(used) + 1)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic(target) as temporary:
        Image.fromarray(table[np.asarray(values, dtype=np.uint8)]).save(temporary)


def _convert(convert: Callable[[Path, Path], None], jobs: Iterable[Job], workers: int) -> int:
    """Run the jobs whose target is missing in parallel; the first error stops the rest."""
    # Labels are written atomically: one that is there is complete.
    todo = [job for job in jobs if not job[1].is_file()]
    with ProcessPoolExecutor(max(1, workers)) as pool:
        running = {pool.submit(convert, source, target): source for source, target in todo}
        for done in track(as_completed(running), "preparing labels", total=len(running)):
            error = done.exception()
            if error is not None:
                pool.shutdown(cancel_futures=True)
                raise UserError(f"{running[done]}: cannot be converted ({type(error).__name__}: {error}).") from error
    return len(todo)


def _require_module(module: str, extra: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"This needs {module.partition('.')[0]}: pip install 'densekd[{extra}]' ({error}).") from error
