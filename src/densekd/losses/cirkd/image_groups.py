"""Image groups of CIRKD: the images of a batch that are compared with each other."""


def image_groups(images: int, size: int | None) -> list[slice]:
    """Return consecutive groups of images; the originals' group is what one GPU has of a batch.

    Args:
        images: B of this process.
        size: images of a group, the last one has those that are left over; None: all are one group.
    """
    step = images if size is None else size
    return [slice(first, min(first + step, images)) for first in range(0, images, step)]
