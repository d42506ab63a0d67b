"""Lower a program of ``torch.export`` to XNNPACK: ``python convert_executorch.py graph.pt2 example.npy model.pte``."""

import sys
from pathlib import Path

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower

source, _, target = sys.argv[1:4]
program = torch.export.load(source)
lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
Path(target).write_bytes(lowered.to_executorch().buffer)
