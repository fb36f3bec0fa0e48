"""Set-up of the whole suite: allocations hold NaN until they are written, in compiled code too; no device is needed."""

import os

import pytest
import torch

os.environ["SEMISEG_POISON"] = "1"  # before semiseg.kernels.cpu is imported
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before triton is imported


@pytest.fixture
def one_thread():
    """Small encoders: on busy cores torch's threads wait for each other a hundred times as long as they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
