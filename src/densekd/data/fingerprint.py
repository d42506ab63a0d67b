"""Fingerprint of a split: names, sizes, times and contents of its files, and what a changed one differs in."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from densekd.data.class_order import shown
from densekd.data.contract import Files

# Contents are read up to so many bytes and files, so that no start waits for long: about a second.
_BYTES = 256 << 20
_FILES = 50_000
# What is no file of its own may be far away, or drawn when it is read.
_OTHERS = 500
# Fields of files that say what their numbers mean.
_MEANINGS = ("categories", "label_map", "coding", "scale", "unit", "bands", "labels")


class Print(NamedTuple):
    """What is known of one image and its label.

    Args:
        name: of the image, from the folder of its split.
        sizes: bytes of image and label; -1 where that is not known.
        times: of their last changes in nanoseconds; 0 where there is none.
        truth: digest of annotations in memory, such as boxes; empty where there are none.
        content: digest of the bytes of both; empty where they were not read.
    """

    name: str
    sizes: tuple[int, int]
    times: tuple[int, int]
    truth: str
    content: str


class Fingerprint(NamedTuple):
    """What is known of a split.

    Args:
        classes: their names in the order of the labels.
        meaning: what the numbers in label files mean.
        prints: of the images in their order.
    """

    classes: tuple[str, ...]
    meaning: str
    prints: tuple[Print, ...]

    @property
    def digest(self) -> str:
        """Digest of everything but times: that of a copy is the same; 16 hexadecimal digits."""
        digest = hashlib.sha256(repr((self.classes, self.meaning)).encode())
        for one in self.prints:
            digest.update(repr(one._replace(times=(0, 0))).encode())
        return digest.hexdigest()[:16]


class Difference(NamedTuple):
    """How two fingerprints differ.

    Args:
        found: what is different, a phrase each; empty where nothing is.
        remark: what could not be compared, or None.
    """

    found: tuple[str, ...]
    remark: str | None = None


def fingerprint(files: Files) -> Fingerprint:
    """Look at all files of a split, and into as many as a second allows, evenly chosen.

    Of a data set up to 256 MB every byte is read. Files that cannot be read are those that the
    training will name.
    """
    items: Sequence[Any] = files.items
    known = [_facts_of(item) for item in items]
    step = _step([one.sizes for one in known])
    prints = []
    for index, (item, one) in enumerate(zip(items, known, strict=True)):
        content = _content(item) if index % step == 0 else ""
        prints.append(one._replace(content=content))
    return Fingerprint(tuple(files.classes.names), _meaning(files), tuple(prints))


def compare(before: Fingerprint, now: Fingerprint) -> Difference:
    """Say what of a split has changed.

    A copy, in which every file has another time, is the same where sizes are and contents that were
    read.
    """
    found = []
    if before.classes != now.classes:
        found.append(f"classes are {shown(now.classes)}, and were {shown(before.classes)}")
    if before.meaning != now.meaning:
        found.append(f"labels are read as {now.meaning}, and were as {before.meaning}")
    old = {one.name: one for one in before.prints}
    new = {one.name: one for one in now.prints}
    found += _phrase("gone", [name for name in old if name not in new])
    found += _phrase("new", [name for name in new if name not in old])
    both = [name for name in old if name in new]
    if both != [name for name in new if name in old]:
        found.append("the order of the images is another")
    changed = [name for name in both if _differs(old[name], new[name])]
    # Without contents a time alone tells: of single files that they were written, of all that they were copied.
    unread = [name for name in both if not (old[name].content and new[name].content)]
    later = [name for name in unread if old[name].times != new[name].times and name not in changed]
    copied = later and len(later) + len(changed) >= len(unread)
    if not copied:
        changed += later
    found += _phrase("changed", changed)
    if copied and not found:
        read = len(both) - len(unread)
        count = f"{len(later)} images have other times and the same sizes"
        return Difference((), f"{count}, as a copy has; contents of {read} others were compared and are the same")
    return Difference(tuple(found))


def to_plain(one: Fingerprint) -> dict[str, Any]:
    """Return a fingerprint as plain data for JSON."""
    return {"classes": one.classes, "meaning": one.meaning, "prints": one.prints}


def from_plain(content: Mapping[str, Any]) -> Fingerprint:
    """Return the fingerprint that plain data describes.

    Raises:
        KeyError: something is missing.
        TypeError: something is of another type.
        ValueError: something is of another length.
    """
    prints = []
    for name, sizes, times, truth, content_digest in content["prints"]:
        image, label = sizes
        first, second = times
        prints.append(Print(str(name), (image, label), (first, second), truth, content_digest))
    return Fingerprint(tuple(content["classes"]), content["meaning"], tuple(prints))


def _facts_of(item: Any) -> Print:
    """Return what is known of an image without reading it."""
    sources = _sources(item)
    image, label = (_stat(source) for source in sources)
    # Images of one stem in two formats are two.
    name = f"{item.stem}{item.image.suffix}"
    return Print(name, (image[0], label[0]), (image[1], label[1]), _truth(item), "")


def _sources(item: Any) -> tuple[Any, Any]:
    """Return where the bytes of image and label are; None where there is no label."""
    label: Any = getattr(item, "label", None)
    # Labels that are counted anew are as their files are.
    while hasattr(label, "files"):
        label = label.files.items[0].label
    # An image alone, or what stands for its label.
    if label == item.image or hasattr(label, "void"):
        label = None
    return item.image, label


def _stat(source: Any) -> tuple[int, int]:
    """Return size and time of a file; -1 and 0 of what is none, or is not there."""
    if not isinstance(source, Path):
        size = getattr(source, "size", -1)
        return (size if isinstance(size, int) else -1), 0
    try:
        found = source.stat()
    except OSError:
        return -1, 0
    return found.st_size, found.st_mtime_ns


def _truth(item: Any) -> str:
    """Return a digest of annotations that are in memory already."""
    truth = getattr(item, "truth", None)
    if truth is None:
        return ""
    digest = hashlib.sha256(repr(item.size).encode())
    for part in truth:
        digest.update(part.tobytes())
    return digest.hexdigest()[:16]


def _step(sizes: Sequence[tuple[int, int]]) -> int:
    """Return of how many images one is read, so that all bytes and files that are read stay within bounds."""
    total = sum(image + label for image, label in sizes)
    others = sum(-1 in pair for pair in sizes)
    shares = (total / _BYTES, 2 * len(sizes) / _FILES, others / _OTHERS)
    return max(1, math.ceil(max(shares)))


def _content(item: Any) -> str:
    """Return a digest of the bytes of an image and its label."""
    digest = hashlib.sha256()
    for source in _sources(item):
        if source is None:
            continue
        try:
            digest.update(hashlib.sha256(source.read_bytes()).digest())
        except OSError:
            return ""
    return digest.hexdigest()[:16]


def _meaning(files: Files) -> str:
    """Describe what the numbers of the label files mean."""
    parts = [f"ignore_index={files.classes.ignore_index}"]
    for name in _MEANINGS:
        value = getattr(files, name, None)
        # Numbers in files of results belong to detection; what is empty says nothing.
        if value is not None and value != () and value != {}:
            parts.append(f"{name}={value}")
    return ", ".join(parts)


def _differs(old: Print, new: Print) -> bool:
    """Return whether an image or its label is another for certain."""
    if (old.sizes, old.truth) != (new.sizes, new.truth):
        return True
    return bool(old.content and new.content) and old.content != new.content


def _phrase(what: str, names: Sequence[str]) -> list[str]:
    """Count and name images; nothing where there are none."""
    if not names:
        return []
    images = "1 image is" if len(names) == 1 else f"{len(names)} images are"
    return [f"{images} {what} ({shown(names)})"]
