from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from densekd.data.photometric import PhotometricDistortion
from densekd.data.transforms import Padding
from densekd.tasks.common import after_crop, random_crops, sample_path
from densekd.tasks.protocol import Augmentation

VOID = 255


def augmented(views: Augmentation, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    transform = random_crops(views, max_class_share=1.0, ignore_index=VOID)
    out_image, out_label = transform(tv_tensors.Image(image), tv_tensors.Mask(label))
    return out_image.as_subclass(Tensor), out_label.as_subclass(Tensor)


@pytest.mark.parametrize(
    ("padding", "columns"),
    [
        # Mirrored with the padding, or without it.
        ("first", [VOID, VOID, 3, 2, 1]),
        ("last", [3, 2, 1, VOID, VOID]),
    ],
)
def test_padding_is_mirrored_only_where_it_comes_first(padding: Padding, columns: list[int]) -> None:
    views = Augmentation(crop=(2, 5), scale=(1, 1), flip=1.0, padding=padding)
    label = torch.tensor([[1, 2, 3], [1, 2, 3]], dtype=torch.uint8)
    image, mirrored = augmented(views, label.expand(3, 2, 3), label)
    assert mirrored.tolist() == [columns, columns]
    assert image.shape == (3, 2, 5)
    padded = mirrored == VOID
    assert image[:, padded].unique(dim=1).flatten().tolist() == [124, 116, 104]


def test_colors_of_padding_stay_where_it_comes_last() -> None:
    views = Augmentation(crop=(4, 6), scale=(1, 1), photometric="mmseg", padding="last")
    image, label = torch.full((3, 4, 3), 90, dtype=torch.uint8), torch.zeros(4, 3, dtype=torch.uint8)
    inside = set()
    for _ in range(40):
        distorted, _ = augmented(views, image, label)
        assert distorted[:, :, 3:].flatten(1).unique(dim=1).flatten().tolist() == [124, 116, 104]
        inside.add(int(distorted[0, 0, 0]))
    assert len(inside) > 10
    first = Augmentation(crop=(4, 6), scale=(1, 1), photometric="mmseg", padding="first")
    outside = {int(augmented(first, image, label)[0][0, 0, 5]) for _ in range(40)}
    assert len(outside) > 10


def test_a_distortion_for_each_name() -> None:
    assert [type(t) for t in after_crop(Augmentation())] == [v2.RandomHorizontalFlip]
    kinds = {name: type(after_crop(Augmentation(photometric=name))[1]) for name in ("mmseg", "torchvision")}
    assert kinds == {"mmseg": PhotometricDistortion, "torchvision": v2.Compose}


def test_sample_pictures_of_different_images_have_different_names() -> None:
    stems = ["a/b", "a_b", "a~b", "b", f"{'n' * 240}1", f"{'n' * 240}2", "\N{SNOWMAN}" * 80]
    names = [sample_path(Path(), stem, "student-errors").name for stem in stems]
    assert len(set(names)) == len(stems)
    assert names[:2] == ["a~b.student-errors.png", "a_b.student-errors.png"]
    assert max(len(name.encode()) for name in names) < 255
