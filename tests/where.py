"""Where the kernels for GPUs run in tests: on one, or interpreted on CPU tensors, some thousand times as slowly."""

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ON_GPU = DEVICE == "cuda"  # elsewhere a part of the cases runs
