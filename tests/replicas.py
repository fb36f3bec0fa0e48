"""A small trained model, and a process that trains it beside another: a module of its own for processes to import."""

import torch
from torch import nn

from semiseg import SemiCRF, kernels
from semiseg.kernels.potentials import Potentials


class Head(nn.Module):
    """A linear encoder and a small model."""

    def __init__(self, features=5, labels=3, K=6):
        super().__init__()
        self.encoder = nn.Linear(features, labels)
        self.durations = nn.Parameter(torch.randn(K + 1, labels))
        self.transitions = nn.Parameter(torch.randn(labels, labels))

    def forward(self, x, lengths=None):
        p = Potentials(self.encoder(x), self.durations, self.transitions, lengths=lengths)
        return kernels.log_partition(p).sum()


def replica(rank, store, out):
    """Take one step's gradients on half of a batch; rank 0 writes them down."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(0)
    head, x = Head(), torch.randn(4, 20, 5)
    wrapped = nn.parallel.DistributedDataParallel(head)
    wrapped(x[2 * rank : 2 * rank + 2]).backward()
    if rank == 0:
        torch.save([p.grad for p in head.parameters()], out)
    # first what holds on to the group: as its last owner it would wait for a thread that waits for the interpreter lock
    del wrapped
    torch.distributed.destroy_process_group()


def whole_batch():
    """A layer, and what both processes share."""
    torch.manual_seed(0)
    labels = torch.arange(20).expand(4, -1) // torch.tensor([[5], [7], [8], [20]])
    return SemiCRF(4, 6, 5, boundaries=True), torch.randn(4, 20, 5), labels


def layer_replica(rank, store, out):
    """Take the gradients of a layer wrapped on its own on half of a batch; rank 0 writes them down."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    crf, hidden, labels = whole_batch()
    half = slice(2 * rank, 2 * rank + 2)
    wrapped = nn.parallel.DistributedDataParallel(crf)
    wrapped(hidden[half], labels[half]).backward()
    if rank == 0:
        torch.save([p.grad for p in crf.parameters()], out)
    # first what holds on to the group: as its last owner it would wait for a thread that waits for the interpreter lock
    del wrapped
    torch.distributed.destroy_process_group()
