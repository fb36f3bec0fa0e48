"""Set-up of the whole suite: allocations hold NaN until they are written, in compiled code too; no device is needed."""

import os

import torch

os.environ["SEMISEG_POISON"] = "1"  # before semiseg.kernels.cpu is imported
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before triton is imported
