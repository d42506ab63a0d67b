"""Instances of mgd, dist, pkd, fbkd, dkd, wsld, l1 and l2 for the laws every loss obeys."""

from collections.abc import Callable

from torch import nn

from densekd.losses.dist import DIST
from densekd.losses.dkd import DKD
from densekd.losses.fbkd import FBKD
from densekd.losses.l1 import L1
from densekd.losses.l2 import L2
from densekd.losses.mgd import MGD
from densekd.losses.pkd import PKD
from densekd.losses.wsld import WSLD

VOID = 255

# One instance per behavior; the key starts with the name in LOSSES.
MAKE: dict[str, Callable[[], nn.Module]] = {
    # Nothing is masked: the same number at every call.
    "mgd": lambda: MGD(5, 5, masked=0.0),
    "dist": lambda: DIST(),
    "dist T2": lambda: DIST(2.0, 1.0, 2.0),
    "dist raw": lambda: DIST(normalize="none"),
    "dist images": lambda: DIST(rows="images"),
    "pkd": lambda: PKD(),
    "pkd teacher": lambda: PKD("teacher"),
    "fbkd": lambda: FBKD(5, 5),
    "fbkd no pooling": lambda: FBKD(5, 5, reduction=1, stride=1, weights=(1.0, 1.0, 1.0, 1.0)),
    "dkd": lambda: DKD(VOID),
    "dkd T4": lambda: DKD(VOID, 4.0, 1.0, 8.0),
    "dkd sum": lambda: DKD(VOID, reduction="sum"),
    "wsld": lambda: WSLD(VOID),
    "l1": lambda: L1(),
    "l1 sum": lambda: L1("sum"),
    "l2": lambda: L2(),
    "l2 element": lambda: L2("sample", 4.0, "element"),
    "l2 raw": lambda: L2("none", reduction="element"),
    "l2 distance": lambda: L2("none", reduction="distance"),
}

# Key in MAKE or name in LOSSES -> laws that do not hold: the test's name without test_, or the id of an extreme.
EXCEPTIONS: dict[str, set[str]] = {
    # A generator that begins at random carries equal tensors apart. Built for 5 channels.
    "mgd": {"zero_when_equal", "one channel"},
    # So do adapters; the attention follows the student without gradient. Built for 5 channels.
    "fbkd": {"zero_when_equal", "a_step_against_the_gradient_lowers_it", "one channel"},
    # Two images correlate by a product of norms that the 1e-8 beside it is not small against.
    "dist images": {"zero_when_equal"},
    # A cross-entropy holds the teacher's entropy; its weight follows the student without gradient.
    "wsld": {"zero_when_equal", "a_step_against_the_gradient_lowers_it"},
    # It resizes.
    "pkd": {"other_shapes_are_refused"},
}
