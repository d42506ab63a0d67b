"""Leave-one-group-out: images are divided by drive, patient or place, so that no validation image has a sibling."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from densekd.data.class_order import with_notes
from densekd.data.contract import Files
from densekd.data.holdout import group_names
from densekd.errors import RecipeError

F = TypeVar("F", bound=Files)

_KEY = "data.leave_out"
# Of groups that are there, so many are named.
_NAMED = 12


@dataclass(frozen=True)
class LeaveOut:
    """Which groups of images are kept from the training.

    Args:
        groups: ``folder``, or a regular expression that finds the name of an image's group in its path.
        val, test: names of the groups of these splits.
    """

    groups: str
    val: tuple[str, ...]
    test: tuple[str, ...] = ()

    def divides(self, split: str) -> bool:
        """Return True for the splits that are made of groups; others are the dataset's own."""
        return split in ("train", "val") or (split == "test" and bool(self.test))

    def part(self, files: F, split: str) -> F:
        """Return the images of one split.

        Args:
            files: all images that are divided.
            split: ``train``, ``val`` or ``test``.

        Raises:
            UserError: a regular expression that is none, or does not fit every image.
            RecipeError: a group that is not there, or nothing left to learn from.
        """
        names = group_names([item.stem for item in files.items], self.groups, f"{_KEY}.groups")
        counts = Counter(names)
        self._require_groups(counts)
        chosen = self._chosen(split, counts)
        items = [item for item, name in zip(files.items, names, strict=True) if name in chosen]
        if not items:
            raise RecipeError(f"{_KEY}: every group is left out, so that nothing is left to learn from.")
        # Files are dataclasses, which a protocol cannot say.
        kind: Any = files
        kept: F = replace(kind, items=tuple(items))
        groups = _listed({name: counts[name] for name in chosen})
        return with_notes(kept, f"{_KEY}: '{split}' is {len(items)} images of {groups}.")

    def _chosen(self, split: str, counts: Counter[str]) -> Sequence[str]:
        if split == "train":
            return [name for name in sorted(counts) if name not in (*self.val, *self.test)]
        return self.val if split == "val" else self.test

    def _require_groups(self, counts: Counter[str]) -> None:
        """Check that every group that is left out is there.

        Raises:
            RecipeError: says which groups there are.
        """
        for key, names in (("val", self.val), ("test", self.test)):
            for name in names:
                if name not in counts:
                    raise RecipeError(
                        f"{_KEY}.{key}: there is no group '{name}'; '{self.groups}' finds {_listed(counts)}."
                    )


def _listed(counts: dict[str, int]) -> str:
    """List groups with their numbers of images; of many the first."""
    shown = [f"{name} ({counts[name]})" for name in sorted(counts)[:_NAMED]]
    more = len(counts) - len(shown)
    if more > 0:
        shown.append(f"and {more} more")
    return ", ".join(shown)
