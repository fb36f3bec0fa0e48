"""One pool of threads per size, made on first use; the compiled functions release the interpreter lock."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


@cache
def pool(threads: int | None = None, role: str = "chunks") -> ThreadPoolExecutor:
    """Return the shared pool of that many threads (None: as many as torch uses).

    Items of a batch wait for their chunks, so each role has threads of its own.
    """
    return ThreadPoolExecutor(threads or torch.get_num_threads(), thread_name_prefix=f"semiseg-{role}")
