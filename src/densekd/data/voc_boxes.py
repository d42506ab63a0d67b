"""Boxes in Pascal VOC's XML (Everingham et al., 2010): VOC 2007, VOC 2012 and datasets written like them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from densekd.data.annotations import Annotation, stacked
from densekd.data.classes import Classes, distinct_classes, published_classes, read_classes
from densekd.data.detection import DetectionFiles, DetectionItem
from densekd.data.exports.shapes import Annotated
from densekd.data.exports.splits import choose
from densekd.data.files import IMAGE_SUFFIXES, find, first_file, first_folder, image_size, read_lines
from densekd.data.holdout import Holdout
from densekd.data.listing import list_files
from densekd.data.voc_xml import objects_of, read_annotation, size_of
from densekd.errors import RecipeError, UserError
from densekd.parsers.files import is_file


def voc_boxes(root: Path, split: str, holdout: Holdout | None = None) -> DetectionFiles:
    """Boxes in Pascal VOC's XML: VOC 2007, VOC 2012, data in their layout, Roboflow's or LabelImg's.

    Layout: ``Annotations/<stem>.xml``, ``JPEGImages/<stem>.jpg`` (or another suffix) and the list
    ``ImageSets/Main/<split>.txt``, in the root or in ``VOCdevkit/VOC2007``, ``VOCdevkit/VOC2012``,
    ``VOC2007`` or ``VOC2012`` below it. Where there are both years, a split names its own:
    ``VOC2007/trainval+VOC2012/trainval``.

    Without such lists: XML files at any depth, each beside the image of its name or in another
    folder (``annotations/a.xml``, ``images/a.png``). A folder of the split's name is the split
    (Roboflow: ``train/``, ``valid/``); without such folders ``data.split`` divides the images. An
    image without an XML file is left out.

    The classes are those of ``classes.json`` in the root, where there is one; VOC's 20, if no
    object of the folder is of another class; else the names of all objects, sorted. Pixels are
    counted from 1 and a box has its last ones: it covers x from xmin - 1 to xmax. Difficult objects
    are crowds: neither learned nor do they count as missed.

    Args:
        root: the folder that holds them.
        split: the name of a list, ``train``, ``val``, ``trainval`` or ``test``, after the folder's
            name and a slash where needed; or a folder of images.
        holdout: how images without splits are divided; ``data.split`` of a recipe.

    Raises:
        UserError: a missing folder, list, image or annotation, a malformed annotation, or an
            unknown class.
        RecipeError: ``data.split`` where splits are there.
    """
    if not _has_lists(root) and root.is_dir():
        loose = find(root, (".xml",))
        if loose:
            return _without_lists(root, split, loose, holdout)
    if holdout is not None:
        raise RecipeError(f"data.split: {root} has lists of its splits already; remove data.split from the recipe.")
    folder, _, name = split.rpartition("/")
    home = _home(root, folder)
    stems = _stems(home, home / "ImageSets" / "Main" / f"{name}.txt")
    images = _images(home / "JPEGImages")
    trees = ((path, read_annotation(path)) for path in (home / "Annotations").glob("*.xml"))
    classes = _classes(root, home, trees)
    items = []
    # VOC gives its images no numbers; results files count them from 1.
    for number, stem in enumerate(stems, 1):
        items.append(_item(home, images.get(stem), stem, number, classes.names))
    return DetectionFiles(classes, tuple(items), tuple(range(len(classes.names))))


def _has_lists(root: Path) -> bool:
    """Return True for VOC's own layout, in which lists divide the images."""
    return any(any(root.glob(f"{place}ImageSets/Main")) for place in ("", "VOC*/", "VOCdevkit/VOC*/"))


def _without_lists(root: Path, split: str, found: Mapping[str, Path], holdout: Holdout | None) -> DetectionFiles:
    """Read XML files that lie beside their images, or in a folder beside theirs.

    Args:
        root: of the data.
        split: a folder's name, or a list's.
        found: the XML files below the root.
        holdout: how to divide the images; None: folders or lists do.
    """
    trees = {}
    for path in found.values():
        tree = read_annotation(path)
        # Other tools write XML as well.
        if tree.tag == "annotation":
            trees[path] = tree
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in list_files(root):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            by_name[path.stem].append(path)
    images = {}
    for path in trees:
        image = _nearest(path, by_name[path.stem])
        if image is None:
            raise UserError(f"{path}: no image of this name lies below {root}; bring it, or remove the file.")
        stem = image.relative_to(root).with_suffix("").as_posix()
        images[stem] = (Annotated(stem, image, (0, 0), ()), path)
    chosen = choose(root, split, [one for one, _ in images.values()], holdout)
    classes = _classes(root, root, trees.items())
    items = []
    for number, one in enumerate(chosen, 1):
        path = images[one.stem][1]
        items.append(_boxes(path, trees[path], Path(str(one.image)), one.stem, number, classes.names))
    return DetectionFiles(classes, tuple(items), tuple(range(len(classes.names))))


def _nearest(path: Path, images: Sequence[Path]) -> Path | None:
    """Return the image beside an XML file, or the one that shares most folders with it; None where there is none."""
    folders = set(path.parent.parts)
    return max(images, key=lambda one: (one.parent == path.parent, len(folders & set(one.parent.parts))), default=None)


def _home(root: Path, folder: str) -> Path:
    """Return the folder that holds ``Annotations``."""
    devkit = root / "VOCdevkit"
    if folder:
        homes = [root / folder, devkit / folder]
    else:
        homes = [root, devkit / "VOC2007", devkit / "VOC2012", root / "VOC2007", root / "VOC2012"]
        # Two years have files of the same names, so one of them must be meant.
        there = [home for home in homes if (home / "Annotations").is_dir()]
        if len(there) > 1:
            raise UserError(
                f"{root} holds {' and '.join(home.name for home in there)}; say which: a split is written "
                f"'{there[0].name}/trainval', several are joined by '+'."
            )
    return first_folder((home / "Annotations" for home in homes), "Pascal VOC annotations").parent


def _stems(home: Path, path: Path) -> list[str]:
    """Read the names of a split's images from its list."""
    if not path.is_file():
        there = ", ".join(sorted(found.stem for found in path.parent.glob("*.txt"))) or "none"
        raise UserError(f"{path}: no such list of images; there is {there}.")
    stems = sorted({_stem(home, line.strip()) for line in read_lines(path)})
    if not stems:
        raise UserError(f"{path}: the list is empty.")
    return stems


def _stem(home: Path, line: str) -> str:
    """Return the name that a line of a list begins with; names may have spaces."""
    if is_file(home / "Annotations" / f"{line}.xml"):
        return line
    # Lists of one class have a second column: whether the class is in the image.
    parts = line.rsplit(maxsplit=1)
    return parts[0] if parts[1:] in (["1"], ["0"], ["-1"]) else line


def _images(folder: Path) -> dict[str, Path]:
    """List the images by stem; their suffixes may be in capitals."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        suffix = path.suffix.lower()
        earlier = found.get(path.stem)
        if suffix not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        # Of several, the usual format.
        if earlier is None or IMAGE_SUFFIXES.index(suffix) < IMAGE_SUFFIXES.index(earlier.suffix.lower()):
            found[path.stem] = path
    return found


def _classes(root: Path, home: Path, trees: Iterable[tuple[Path, ElementTree.Element]]) -> Classes:
    """Return the classes of ``classes.json``, VOC's 20, or those that the objects have."""
    own = first_file((root / "classes.json", home / "classes.json"))
    if own is not None:
        return read_classes(own)
    # The first of the 21 of segmentation is the background, which is no object.
    published = published_classes("voc")
    twenty = Classes(published.names[1:], published.palette[1:])
    found: set[str] = set()
    for path, tree in trees:
        found.update(one.name for one in objects_of(path, tree))
    if found <= set(twenty.names):
        return twenty
    return distinct_classes(sorted(found), home)


def _item(home: Path, image: Path | None, stem: str, number: int, names: Sequence[str]) -> DetectionItem:
    """Read the boxes of one image."""
    path = home / "Annotations" / f"{stem}.xml"
    if image is None:
        image = home / "JPEGImages" / f"{stem}{IMAGE_SUFFIXES[0]}"
    for file in (path, image):
        if not is_file(file):
            raise UserError(f"{file}: missing, though a list of {home / 'ImageSets' / 'Main'} names it.")
    return _boxes(path, read_annotation(path), image, stem, number, names)


def _boxes(
    path: Path, tree: ElementTree.Element, image: Path, stem: str, number: int, names: Sequence[str]
) -> DetectionItem:
    """Return the boxes of one annotation."""
    boxes = []
    for one in objects_of(path, tree):
        if one.name not in names:
            raise UserError(f"{path}: '{one.name}' is no class; known are {', '.join(names)}. Add it to classes.json.")
        x1, y1, x2, y2 = one.corners
        area = (x2 - x1) * (y2 - y1)
        # Difficult objects are neither trained on nor do they count as missed.
        boxes.append(Annotation(one.corners, names.index(one.name), one.difficult, area))
    return DetectionItem(stem, image, number, size_of(tree) or image_size(image), stacked(boxes))
