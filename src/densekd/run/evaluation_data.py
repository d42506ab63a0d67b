"""Data of an evaluation or a prediction: a recipe's, or that of a folder whose layout is recognized."""

import inspect
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from densekd.builders.data import build_files
from densekd.builders.task import task_of_package
from densekd.data import DATASETS
from densekd.data.camvid import CLASSES as CAMVID
from densekd.data.class_order import positions
from densekd.data.classes import Classes
from densekd.data.contract import Files
from densekd.data.files import IMAGE_SUFFIXES, find
from densekd.data.holdout import ALL
from densekd.data.layouts import EXPORTS, LAYOUTS, recognize_layouts, unrecognized, validation_split
from densekd.data.maps import Resize
from densekd.errors import RecipeError, UserError
from densekd.models.classes import are_unnamed
from densekd.models.open import Opened
from densekd.recipe import Recipe
from densekd.recipe.shipped import named_recipe
from densekd.tasks.protocol import Task
from densekd.trust import names_of_file

# Where the images of a split are that has no labels: a benchmark's test images.
_IMAGES = ("leftImg8bit/{}", "cityscapes/leftImg8bit/{}", "images/{}", "{}")


@dataclass(frozen=True)
class Asked:
    """What a model shall be scored on; None is what its own run says.

    Args:
        data: a data folder in any known layout, or a recipe: a file, a run folder, a shipped name.
        recipe: the same kinds of recipe; beside a ``data`` folder it says how that is read.
        split: None for the one that is validated on.
    """

    data: Path | None = None
    recipe: Path | None = None
    split: str | None = None


@dataclass(frozen=True)
class EvaluationSource:
    """What a model is scored on.

    Args:
        files: of the split.
        split: its name.
        resize: what the recipe brings images to; None where no recipe says.
        bands: whether those of the images are the recipe's, or none said so and they are the model's.
    """

    files: Files
    split: str
    resize: Resize | None = None
    bands: Literal["recipe", "model"] = "model"


def asked_recipe(name: Path | None) -> Recipe | None:
    """Read a recipe by file, run folder or shipped name; None for none, and for a folder of data.

    Raises:
        RecipeError: no such recipe, or a wrong one.
    """
    if name is None or (name.is_dir() and not (name / "recipe.yaml").is_file()):
        return None
    try:
        return named_recipe(name)
    except RecipeError as error:
        # A path with a mistake in it is no mistake in a recipe's name.
        if len(name.parts) > 1 and not name.suffix and not name.exists():
            raise RecipeError(f"{name}: no such data folder. {error}") from error
        raise


def from_recipe(recipe: Recipe, root: Path | None, split: str | None) -> EvaluationSource:
    """Find the data of a recipe.

    Args:
        recipe: its data section says the dataset.
        root: of the data, in place of the recipe's.
        split: in place of the one that the recipe validates on.

    Raises:
        UserError: no such data, or a dataset of a module that nobody said is trusted.
    """
    data = recipe.data
    if root is not None:
        data = data.model_copy(update={"root": str(root)})
    split = split or data.val
    # A recipe beside a model may be anybody's.
    with names_of_file(f"the recipe '{recipe.name}'"):
        return EvaluationSource(build_files(data, split), split, data.input_size, "recipe")


def from_folder(root: Path, split: str | None, opened: Opened) -> EvaluationSource:
    """Find the data of a folder: in any layout of ``LAYOUTS``, or plain images and labels.

    Args:
        root: the folder.
        split: None for the one that its dataset is validated on.
        opened: the model: layouts of other tasks are not tried, and its classes decide between several.

    Raises:
        UserError: no layout, or several that fit.
    """
    among = datasets_of(task_of_package(opened.config))
    found = recognize_layouts(root, among)
    # Images and labels without classes: what they mean is what the model means.
    bare = (root / "images").is_dir() and (root / "labels").is_dir()
    if bare and not found:
        if split is None:
            split = "val" if (root / "images" / "val").is_dir() else ALL
        # CamVid in our layout looks the same, and has a label of its own for what is ignored.
        if opened.classes.names == CAMVID.names:
            return EvaluationSource(DATASETS["camvid"](root, split), split)
        return EvaluationSource(task_of_package(opened.config).folder(root, split, opened.config), split)
    if len(found) > 1:
        found = [name for name in found if _fits(name, root, split, opened.classes)]
    if len(found) != 1:
        raise unrecognized(root, found, among)
    name = found[0]
    if split is not None:
        return EvaluationSource(DATASETS[name](root, split), split)
    return _validated_on(name, root)


def _validated_on(name: str, root: Path) -> EvaluationSource:
    """Find the images that a dataset is validated on; all, where they have no splits."""
    split = validation_split(name, root)
    try:
        return EvaluationSource(DATASETS[name](root, split), split)
    except UserError as error:
        if "holdout" not in inspect.signature(DATASETS[name]).parameters:
            raise
        try:
            return EvaluationSource(DATASETS[name](root, ALL), ALL)
        except UserError:
            raise error from error.__cause__


def datasets_of(task: type[Task]) -> list[str]:
    """List the datasets with a known layout that hold what a task learns from."""
    names = []
    # A dataset may have a layout of its own, and be an export besides.
    for name in dict.fromkeys((*LAYOUTS, *EXPORTS)):
        returned = inspect.signature(DATASETS[name]).return_annotation
        if returned is task.files_type:
            names.append(name)
    return names


@contextmanager
def asked_images(asked: Asked, opened: Opened) -> Iterator[Path]:
    """Yield the image or the folder of images to predict.

    Args:
        asked: ``data`` is an image, a folder of images, a data folder, or a recipe; without it the
            images are those of ``recipe``.
        opened: the model.

    Raises:
        UserError: nothing to predict, or no such data.
    """
    path = asked.data
    # What exists is what it is, before it is a recipe's name.
    if path is not None and path.exists() and path.suffix not in (".yaml", ".yml"):
        with split_images(path, asked.split, opened) as folder:
            yield folder
        return
    if path is not None and path.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"{path}: no such image.")
    recipe = asked_recipe(path if asked.recipe is None else asked.recipe)
    if recipe is None:
        raise UserError("say what to predict: an image, a folder of images, a data folder, or --recipe NAME.")
    with images_of(from_recipe(recipe, None, asked.split).files) as folder:
        yield folder


@contextmanager
def split_images(root: Path, split: str | None, opened: Opened) -> Iterator[Path]:
    """Yield a folder with the images of one split of a data folder, and no other pictures.

    Args:
        root: a data folder in a known layout; of any other folder, all images are meant.
        split: None for the one that its dataset is validated on.
        opened: the model.
    """
    if root.is_file():
        yield root
        return
    found = recognize_layouts(root, datasets_of(task_of_package(opened.config)))
    # Exports leave out what is not annotated, which is what people predict.
    if not found or (split is None and found[0] in EXPORTS):
        yield root
        return
    try:
        files = from_folder(root, split, opened).files
    except UserError:
        # A test split has images alone.
        folders = [root / place.format(split) for place in _IMAGES if split is not None]
        there = [folder for folder in folders if folder.is_dir()]
        if not there:
            raise
        yield there[0]
        return
    with images_of(files) as folder:
        yield folder


@contextmanager
def images_of(files: Files) -> Iterator[Path]:
    """Yield a folder with the images of a split: their own, or one of links to them, or of copies out of larger files.

    Raises:
        UserError: parts of larger files that are no picture files.
    """
    images = {item.stem: item.image for item in files.items}
    # A split that has a folder of its own is read from there; its stems start at that folder.
    stem, first = next(iter(images.items()))
    if isinstance(first, Path):
        own = first.parents[stem.count("/")]
        if set(find(own, IMAGE_SUFFIXES).values()) == set(images.values()):
            yield own
            return
    with tempfile.TemporaryDirectory() as temporary:
        for stem, image in images.items():
            if image.suffix.lower() not in IMAGE_SUFFIXES:
                raise UserError(f"{image}: is no picture file, but pixels in a larger one; give a folder of images.")
            place = Path(temporary) / f"{stem}{image.suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(image, Path):
                place.symlink_to(image.absolute())
            else:
                place.write_bytes(image.read_bytes())
        yield Path(temporary)


def _fits(name: str, root: Path, split: str | None, classes: Classes) -> bool:
    """Return True where a dataset reads a folder and has the model's classes."""
    try:
        files = DATASETS[name](root, split or validation_split(name, root))
    except UserError:
        return False
    names = files.classes.names
    numbered = are_unnamed(classes) and len(names) == len(classes.names)
    return numbered or positions(names, classes.names) is not None
