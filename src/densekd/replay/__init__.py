"""What a teacher said of every view of every image, written once and replayed: the teacher cache."""

from densekd.replay.fill import Filling, fill
from densekd.replay.packing import Packing, Replay
from densekd.replay.store import Layout, Store, example_of, gigabytes
from densekd.replay.views import Replayed, Views, describe_files

__all__ = [
    "Filling",
    "Layout",
    "Packing",
    "Replay",
    "Replayed",
    "Store",
    "Views",
    "describe_files",
    "example_of",
    "fill",
    "gigabytes",
]
