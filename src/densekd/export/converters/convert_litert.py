"""Convert a program of ``torch.export`` to LiteRT: ``python convert_litert.py graph.pt2 example.npy model.tflite``."""

import sys

import litert_torch
import numpy as np
import torch

source, example, target = sys.argv[1:4]
program = torch.export.load(source)
converted = litert_torch.convert(program.module(), (torch.from_numpy(np.load(example)),))
converted.export(target)
