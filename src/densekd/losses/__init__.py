"""Distillation losses: one paper, one file, one row of ``LOSSES``.

A loss is an ``nn.Module`` with ``forward(student, teacher, target) -> scalar``; it is unweighted, the
teacher arrives detached, and whatever it learns or remembers is its own child. What it cannot know
(``student_channels``, ``teacher_channels``, ``teacher_size``, ``num_classes``, ``ignore_index``) it
names in its constructor and the build supplies it, for the tensors as the loss receives them: after
the adapter, resized. All other parameters are its options: their annotations say types, choices and
ranges (:mod:`densekd.ops.ranges`), and the registry checks a recipe by them. The target is a map of
labels, the boxes of a detector (:class:`densekd.ops.boxes.Boxes`) or None.
"""

from torch import nn

from densekd.losses.adversarial import Adversarial
from densekd.losses.at import AT
from densekd.losses.cgd import CGD
from densekd.losses.cirkd.channel import CIRKDChannel
from densekd.losses.cirkd.memory import CIRKDMemory
from densekd.losses.cirkd.minibatch import CIRKDMiniBatch
from densekd.losses.cwd import CWD
from densekd.losses.dist import DIST
from densekd.losses.dkd import DKD
from densekd.losses.dsd import CSD, DSD, PSD
from densekd.losses.fbkd import FBKD
from densekd.losses.fgd import FGD
from densekd.losses.fitnet import FitNet
from densekd.losses.hwd import HWD
from densekd.losses.ifvd import IFVD
from densekd.losses.l1 import L1
from densekd.losses.l2 import L2
from densekd.losses.ld import LD, LDClasses, LDFeatures
from densekd.losses.mgd import MGD
from densekd.losses.pairwise import Pairwise
from densekd.losses.pixel import Pixel
from densekd.losses.pkd import PKD
from densekd.losses.wsld import WSLD

LOSSES: dict[str, type[nn.Module]] = {
    "adversarial": Adversarial,
    "at": AT,
    "cgd": CGD,
    "cirkd_channel": CIRKDChannel,
    "cirkd_memory": CIRKDMemory,
    "cirkd_minibatch": CIRKDMiniBatch,
    "cwd": CWD,
    "dist": DIST,
    "dkd": DKD,
    "dsd": DSD,
    "dsd.csd": CSD,
    "dsd.psd": PSD,
    "fbkd": FBKD,
    "fgd": FGD,
    "fitnet": FitNet,
    "hwd": HWD,
    "ifvd": IFVD,
    "l1": L1,
    "l2": L2,
    "ld": LD,
    "ld.classes": LDClasses,
    "ld.features": LDFeatures,
    "mgd": MGD,
    "pairwise": Pairwise,
    "pixel": Pixel,
    "pkd": PKD,
    "wsld": WSLD,
}

# Forward and backward together never hold more than twice the bytes of both float32 maps beyond
# these, the gradient included; a test measures it. The others have convolutions or similarities of
# all pairs, which give more, or are plain autograd formulas, which keep their temporaries.
MEMORY_EFFICIENT = frozenset(
    {
        "at",
        "cgd",
        "cwd",
        "dist",
        "dkd",
        "dsd",
        "dsd.csd",
        "dsd.psd",
        "fgd",
        "fitnet",
        "hwd",
        "ifvd",
        "l1",
        "l2",
        "ld",
        "pairwise",
        "pixel",
        "pkd",
        "wsld",
    }
)

# Methods of the source systems that are not wanted here, and why.
LEFT_OUT = {
    "ab": "activation boundaries: the signs of neurons; MMRazor ships it for image classification alone",
    "ofd": "overhaul of feature distillation: margins from the teacher's batch norms, for image classification",
    "ft": "factor transfer: a paraphraser has to be trained first; for image classification",
    "rkd": "relations between the whole images of a batch, here a handful; cirkd_minibatch relates their pixels",
    "segdistill.history.*": "experiments that the authors of CGD gave up: blocks, masks, shifts (which had no effect)",
}
