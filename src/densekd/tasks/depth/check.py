"""What a data check reads of an image and its depth map."""

from collections.abc import Sequence

import numpy as np

from densekd.data.depth import DepthFiles
from densekd.data.facts import Facts, image_facts
from densekd.tasks.findings import Finding, seen_in

# Ends of the ranges that measured pixels are counted in, in the unit of the data.
_ENDS = (1, 10, 100)


def counted(files: DepthFiles) -> dict[str, tuple[str, ...]]:
    """Name what is counted: measured pixels, also by their depth."""
    near, middle, far = (f"{end} {files.unit}" for end in _ENDS)
    ranges = (f"pixels below {near}", f"to {middle}", f"to {far}", "beyond")
    return {"pixels": ("measured", "not measured"), "depths": ranges}


def look(files: DepthFiles) -> Facts:
    """Read the one image of these files with its depth map, and count what was measured.

    Raises:
        UserError: either cannot be read, or they do not fit.
    """
    item = files.items[0]
    image, depth = files.pair(0)
    measured = depth[depth > 0]
    ranges = np.bincount(np.digitize(measured, _ENDS), minlength=len(_ENDS) + 1)
    # Either map trains nobody, and usually means a wrong file or scale.
    warnings: list[str] = []
    if files.labels == "present" and not measured.size:
        warnings.append("no depth was measured, nothing is learned from this image")
    elif measured.size and measured.min() == measured.max():
        warnings.append("all depths are equal, nothing is learned from this image")
    height, width = image.shape[:2]
    counts = (np.array([measured.size, depth.size - measured.size]), ranges)
    return image_facts((item.image, item.label), (height, width), counts, warnings, image, files.bands)


def findings(files: DepthFiles, facts: Sequence[Facts]) -> list[Finding]:
    """Judge the maps of a split by a sample: whether any depth was measured.

    Args:
        files: the whole split.
        facts: of a sample of its images.
    """
    measured = sum(int(fact.counts[0][0]) for fact in facts)
    if files.labels == "absent" or measured:
        return []
    return [Finding("nothing", f"in {seen_in(files, facts)} no depth was measured, so that nothing is learnt.")]
