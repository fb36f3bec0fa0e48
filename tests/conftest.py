"""Set-up of the whole suite: allocations hold NaN until they are written, in compiled code too; no device is needed."""

import fcntl
import os
from functools import wraps
from hashlib import sha256
from pathlib import Path

import pytest

os.environ["SEMISEG_POISON"] = "1"  # before semiseg.kernels.cpu is imported


def pytest_configure(config):
    is_worker = hasattr(config, "workerinput")
    if is_worker:
        # before torch is imported: its threads, as many in each worker as there are cores, would wait for each other
        # by turning round, a quarter of all the work of tests that learn
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        compile_once()
    if is_worker or not config.getoption("numprocesses", None):  # what only deals tests out to workers needs no torch
        import torch

        if not torch.cuda.is_available():
            os.environ.setdefault("TRITON_INTERPRET", "1")  # before triton is imported


def pytest_collection_modifyitems(items):
    """Compile for GPUs where the second half begins: of two workers, one does that while one compiles for the CPU."""
    slow = [item for item in items if item.path.name == "test_gpu_compile.py"]
    rest = [item for item in items if item.path.name != "test_gpu_compile.py"]
    half = len(items) // 2
    items[:] = [*rest[:half], *slow, *rest[half:]]


def compile_once() -> None:
    """Let one of several workers compile a function while others that need it wait, and find it on disk."""
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.dispatcher import Dispatcher

    from semiseg.kernels.compiled import directory

    compile_, held = Dispatcher.compile, set()
    folder = Path(directory()) / "locks"
    folder.mkdir(parents=True, exist_ok=True)

    @wraps(compile_)
    def alone(self, signature):
        name = f"{self.py_func.__module__}.{self.py_func.__qualname__}"
        # numba's own lock first, so that no thread waits for it with a file's in its hands
        with global_compiler_lock:
            if name in held:
                return compile_(self, signature)
            held.add(name)
            try:
                with (folder / sha256(name.encode()).hexdigest()[:16]).open("w") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    return compile_(self, signature)
            finally:
                held.remove(name)

    Dispatcher.compile = alone


@pytest.fixture
def one_thread():
    """Small encoders: on busy cores torch's threads wait for each other a hundred times as long as they work."""
    from semiseg.kernels.cpu.threads import torch_threads

    with torch_threads(1):
        yield
