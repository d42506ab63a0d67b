"""A student's and a teacher's map written as formulas (float64), for which released implementations were run."""

import torch

K = torch.arange(2 * 6 * 8 * 8, dtype=torch.float64).view(2, 6, 8, 8)
STUDENT, TEACHER = 3 * torch.sin(0.1 * K), 4 * torch.cos(0.07 * K)
