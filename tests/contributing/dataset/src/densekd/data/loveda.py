"""LoveDA with 7 classes (Wang et al., NeurIPS 2021, arXiv 2110.08733): land cover of cities and villages."""

from pathlib import Path

from densekd.data.classes import Classes
from densekd.data.files import SegmentationFiles, first_folder, pair_by_stem
from densekd.data.found import Item

CLASSES = Classes(
    names=("background", "building", "road", "water", "barren", "forest", "agriculture"),
    palette=(
        (255, 255, 255),
        (255, 0, 0),
        (255, 255, 0),
        (0, 0, 255),
        (159, 129, 183),
        (0, 255, 0),
        (255, 195, 128),
    ),
)


def loveda(root: Path, split: str) -> SegmentationFiles:
    """LoveDA, 7 classes, official layout: Urban and Rural with images_png and masks_png.

    Layout: ``Train/{Rural,Urban}/images_png/*.png`` and ``masks_png/*.png`` beside it; ``Val`` alike.
    Label 0 is ignored, label k is class k - 1.

    Args:
        root: the folder that holds them.
        split: ``train`` or ``val``.

    Raises:
        UserError: a missing folder, or an image or label without partner.
    """
    home = first_folder((root / split.capitalize(), root / split), f"LoveDA split '{split}'")
    items: list[Item] = []
    for scene in ("Rural", "Urban"):
        for item in pair_by_stem(home / scene / "images_png", home / scene / "masks_png"):
            items.append(item._replace(stem=f"{scene}/{item.stem}"))
    # The files count classes from 1 and write 0 where there is no data.
    label_map = {0: CLASSES.ignore_index}
    for k in range(len(CLASSES.names)):
        label_map[k + 1] = k
    return SegmentationFiles(CLASSES, tuple(items), label_map)
