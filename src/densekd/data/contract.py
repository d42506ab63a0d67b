"""The contracts between datasets, loaders and tasks: the files of a split, and what is read of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from densekd.data.classes import Classes
from densekd.data.found import Source
from densekd.data.sampler import Draw

# Files without labels serve a student that learns from its teacher alone.
Labels = Literal["present", "absent"]


class ImageItem(Protocol):
    """One image of a split, whatever else is known of it."""

    @property
    def stem(self) -> str:
        """Its name, without the suffix."""
        ...

    @property
    def image(self) -> Source:
        """Where its bytes are."""
        ...


@runtime_checkable
class Files(Protocol):
    """The images of one split with their labels, boxes or maps: what a dataset function returns.

    A frozen dataclass with the field ``items``, so that :func:`dataclasses.replace` makes a part of
    it.
    """

    # Name in TASKS, or package.module:Name, of the task that these files are usually learnt for.
    task: ClassVar[str]
    # What lies beside the images, in plural: "label maps", "boxes".
    holds: ClassVar[str]

    @property
    def classes(self) -> Classes:
        """Names and colors of the C output channels, and the label of void pixels."""
        ...

    @property
    def items(self) -> Sequence[ImageItem]:
        """The images in a fixed order."""
        ...

    @property
    def labels(self) -> Labels:
        """Whether there is anything to learn from besides a teacher."""
        ...

    @property
    def categories(self) -> tuple[int, ...]:
        """The number of each class in files of results; empty where they have no other."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def image(self, index: int) -> np.ndarray:
        """Decode an image: uint8 RGB ``[H, W, 3]``."""
        ...

    def join(self, others: Sequence[Self]) -> Self:
        """Return these images and those of other splits of the same dataset.

        Raises:
            UserError: splits that do not fit together.
        """
        ...


class TrainingData(Protocol):
    """Augmented samples: sample n is the same whoever draws it and whenever."""

    @property
    def files(self) -> Files:
        """What the samples are made of."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, random_sample: Draw) -> Any:
        """Return the augmented sample of one draw."""
        ...

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        """Make a batch of samples; ``images`` in it is uint8 ``[B, 3, H, W]``."""
        ...


class EvaluationData(Protocol):
    """Whole images as a model sees them, each with what it is scored against."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, index: int) -> Any:
        """Return one sample."""
        ...

    def collate(self, samples: list[Any]) -> list[Any]:
        """Make a batch of samples, which may differ in size."""
        ...


F = TypeVar("F", bound=Files)


def subset(files: F, count: int) -> F:
    """Return ``files`` with at most ``count`` images, evenly chosen."""
    count = min(count, len(files))
    items = tuple(files.items[k * len(files) // count] for k in range(count))
    # Files are dataclasses, which a protocol cannot say.
    chosen: F = replace(files, items=items)  # type: ignore[type-var]
    return chosen
