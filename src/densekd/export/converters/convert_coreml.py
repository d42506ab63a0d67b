"""Convert a program to Core ML: ``python convert_coreml.py graph.pt2 example.npy model.mlpackage``."""

import sys

import coremltools
import torch

source, _, target = sys.argv[1:4]
program = torch.export.load(source).run_decompositions({})
# Arithmetic as torch's: the converter's own choice is float16.
options = {"convert_to": "mlprogram", "compute_precision": coremltools.precision.FLOAT32}
coremltools.convert(program, **options).save(target)
