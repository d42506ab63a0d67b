"""Peak memory of a prediction, to be run as a process of its own.

``python prediction_memory.py classes`` labels a picture of 150 classes by windows, ``... tiff FILE OUT``
a file. Prints how many megabytes the peak lies above what was taken before.
"""

import re
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from densekd.models.classes import unnamed_classes
from densekd.tasks.segmentation.inference import Inference, Window
from densekd.tasks.segmentation.prediction import LabelPredictor


def peak() -> float:
    """Return the peak of this process in megabytes."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1e3


def main() -> None:
    """Predict and print."""
    torch.set_num_threads(1)
    if sys.argv[1] == "classes":
        predict = LabelPredictor(
            nn.Conv2d(3, 150, 8, 8), unnamed_classes(150), None, Inference(Window((256, 256), (171, 171)))
        )
        image = np.zeros((1000, 1500, 3), dtype=np.uint8)
        before = peak()
        predict(image)
    else:
        predict = LabelPredictor(
            nn.Conv2d(3, 3, 8, 8), unnamed_classes(3), None, Inference(Window((1024, 1024), (1024, 1024)))
        )
        before = peak()
        predict.predict_folder(Path(sys.argv[2]), Path(sys.argv[3]))
    print(peak() - before)


if __name__ == "__main__":
    main()
