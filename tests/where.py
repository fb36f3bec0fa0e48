"""Where the kernels for GPUs run in tests: on one, or interpreted on CPU tensors, some thousand times as slowly."""

from importlib.util import find_spec

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ON_GPU = DEVICE == "cuda"  # elsewhere a part of the cases runs
if not ON_GPU and find_spec("triton"):
    import interpreter  # noqa: F401
