"""Work spread over processes, one thread each, so that they do not fight over the cores."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def _one_thread() -> None:
    os.environ.update(dict.fromkeys(THREADS, "1"))


def process_pool(workers: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes; use it in a ``with`` block.

    A forked copy of a process that has threads (torch, BLAS) may hang; a spawned one does not.

    Args:
        workers: Number of processes.
    """
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)
