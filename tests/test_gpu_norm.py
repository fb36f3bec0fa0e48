"""Normalisation over channels on a GPU: as PyTorch's."""

import pytest
import torch
from where import DEVICE

pytest.importorskip("triton")

from semiseg.kernels.gpu.norm import channel_norm


@pytest.mark.parametrize(("rows", "C"), [(1, 1), (17, 24), (64, 144)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_as_pytorch(rows, C, dtype):
    torch.manual_seed(rows)
    x, weight, bias = 3 + 5 * torch.randn(2, rows, C, device=DEVICE), *torch.randn(2, C, device=DEVICE)
    found = channel_norm(x, weight, bias, 1e-5, dtype)
    expected = torch.nn.functional.layer_norm(x, (C,), weight, bias, 1e-5)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=1e-4 if dtype == torch.float32 else 4e-3, rtol=2e-3)
