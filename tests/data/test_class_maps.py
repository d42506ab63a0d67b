"""Class maps against the label maps of the datasets: logit k belongs to the class that label k becomes."""

from pathlib import Path

import pytest
from dataset_trees import make_ade20k, make_cityscapes, make_cocostuff

from densekd.data.ade20k import ade20k
from densekd.data.cityscapes import cityscapes
from densekd.data.class_maps import CLASS_MAPS, class_map_between, class_map_for, find_class_map
from densekd.data.classes import published_classes
from densekd.data.cocostuff import cocostuff
from densekd.errors import RecipeError

DATASETS = {
    "cocostuff-182": (make_cocostuff, cocostuff, 171),
    "cityscapes-34": (make_cityscapes, cityscapes, 19),
    "ade20k-151": (make_ade20k, ade20k, 150),
}


@pytest.mark.parametrize("name", CLASS_MAPS)
def test_a_map_is_the_datasets_own(name: str, tmp_path: Path) -> None:
    make, dataset, classes = DATASETS[name]
    entry = CLASS_MAPS[name]
    files = dataset(make(tmp_path), "val")
    # The labels of a prepared tree are classes already.
    assert files.label_map is not None
    numbers = {label: k for label, k in files.label_map.items() if k != files.classes.ignore_index}
    assert {member: k for k, member in enumerate(entry.members)} == numbers
    assert (entry.classes, entry.count) == (classes, int(name.split("-")[1]))
    assert max(entry.members) < entry.count


def test_a_map_is_found_by_numbers_and_names() -> None:
    names = published_classes("cocostuff").names
    assert class_map_between(182, 171) == "cocostuff-182"
    assert class_map_between(182, 19) is None
    assert class_map_for(182, names) == "cocostuff-182"
    assert class_map_for(171, names) is None
    # As many classes of somebody else's are no COCO-Stuff.
    assert class_map_for(182, [f"class {k}" for k in range(171)]) is None
    with pytest.raises(RecipeError, match="no class map is called 'cocostuff'"):
        find_class_map("cocostuff")
