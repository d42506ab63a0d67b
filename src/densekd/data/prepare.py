"""Labels in the form that training reads, made from what a benchmark publishes."""

import importlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from densekd.atomic import atomic
from densekd.data.files import find, first_folder
from densekd.errors import UserError

_POLYGONS = "_polygons.json"


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
    _needs("cityscapesscripts.preparation.json2labelImg", "cityscapes")
    folders = [root / kind for kind in ("gtFine", "gtCoarse") if (root / kind).is_dir()]
    polygons = [path for folder in folders for path in find(folder, (_POLYGONS,)).values()]
    if not polygons:
        raise UserError(f"{root}: no gtFine/<split>/<city>/*{_POLYGONS}; is this the root of Cityscapes?")
    jobs = [(path, Path(str(path).replace(_POLYGONS, "_labelTrainIds.png"))) for path in polygons]
    return _convert(_draw_polygons, [job for job in jobs if not job[1].is_file()], workers)


def prepare_cocostuff10k(root: Path, workers: int) -> int:
    """Turn ``annotations/*.mat`` and lists into the layout that :func:`densekd.data.cocostuff.cocostuff10k` reads.

    Images are linked, not copied.

    Args:
        root: the folder with ``images``, ``annotations`` and ``imageLists``.
        workers: processes.

    Returns:
        How many labels were converted.

    Raises:
        UserError: a missing list or file, or scipy is not installed.
    """
    _needs("scipy.io", "cocostuff10k")
    first_folder((root / "imageLists",), "COCO-Stuff 10k lists")
    jobs: list[tuple[Path, Path]] = []
    for name, part in (("train", "train2014"), ("test", "test2014")):
        (root / "images" / part).mkdir(parents=True, exist_ok=True)
        for stem in (root / "imageLists" / f"{name}.txt").read_text(encoding="utf-8").split():
            link, image = root / "images" / part / f"{stem}.jpg", root / "images" / f"{stem}.jpg"
            if not image.is_file():
                raise UserError(f"{image}: missing, though imageLists/{name}.txt names it.")
            if not link.exists():
                link.symlink_to(Path("..") / image.name)
            target = root / "annotations" / part / f"{stem}_labelTrainIds.png"
            jobs.append((root / "annotations" / f"{stem}.mat", target))
    return _convert(_convert_mat, [job for job in jobs if not job[1].is_file()], workers)


PREPARE: dict[str, Callable[[Path, int], int]] = {
    "cityscapes": prepare_cityscapes,
    "cocostuff10k": prepare_cocostuff10k,
}


def _draw_polygons(source: Path, target: Path) -> None:
    random_sample = importlib.import_module("cityscapesscripts.preparation.json2labelImg").json2labelImg
    with atomic(target) as temporary:
        random_sample(str(source), str(temporary), "trainIds")


def _convert_mat(source: Path, target: Path) -> None:
    """Write the 182 ids of a .mat as 0 for void and 1..171, in the order of the ids that are used."""
    from densekd.data.cocostuff import UNUSED

    values: Any = importlib.import_module("scipy.io").loadmat(source)["S"]
    table = np.zeros(256, dtype=np.uint8)
    table[[k + 1 for k in range(182) if k not in UNUSED]] = np.arange(1, 172)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic(target) as temporary:
        Image.fromarray(table[np.asarray(values, dtype=np.uint8)]).save(temporary)


def _convert(convert: Callable[[Path, Path], None], jobs: Iterable[tuple[Path, Path]], workers: int) -> int:
    jobs = list(jobs)
    with ProcessPoolExecutor(max(1, workers)) as pool:
        running = {pool.submit(partial(convert, *job)): job[0] for job in jobs}
        for done in track(as_completed(running), "preparing labels", total=len(running), transient=True):
            error = done.exception()
            if error is not None:
                pool.shutdown(cancel_futures=True)
                raise UserError(f"{running[done]}: cannot be converted ({type(error).__name__}: {error}).") from error
    return len(jobs)


def _needs(module: str, extra: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"This needs {module.partition('.')[0]}: pip install 'densekd[{extra}]' ({error}).") from error
