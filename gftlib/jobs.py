"""Long jobs on shared data, spread over processes that receive the data once."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from gftlib.errors import InputError
from gftlib.processes import THREADS

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
_received: list[Any] = []


def _receive(data: bytes) -> None:
    os.environ.update(dict.fromkeys(THREADS, "1"))
    _received[:] = [pickle.loads(data)]


def _call(function: Callable[..., Any], job: bytes) -> bytes:
    return pickle.dumps(function(_received[0], *pickle.loads(job)))


def run_jobs(
    function: Callable[..., Any],
    shared: Any,
    jobs: Iterable[tuple[Any, ...]],
    workers: int = 1,
    progress: Progress | None = None,
    device: str = "cpu",
) -> list[Any]:
    """Call ``function(shared, *job)`` for every job.

    Args:
        function: At the top of a module, so that other processes find it.
        shared: What every job reads, sent to each process once.
        jobs: The other arguments.
        workers: Processes, one thread each; 1 stays in this process.
        progress: Called with (done, total) after each job.
        device: Where the jobs compute. Each puts a network of its own there: other devices than the
            processor get one job at a time, whatever ``workers`` says.

    Returns:
        The results, in the order of the jobs.

    Raises:
        InputError: If ``workers`` is not positive.
    """
    jobs = list(jobs)
    if workers < 1:
        raise InputError(f"workers is {workers}; use 1 or more")
    if device != "cpu" and workers > 1:
        log.info("%s holds one network at a time: one process in place of %d", device, workers)
        workers = 1
    if workers == 1 or len(jobs) < 2:
        results = []
        for done, job in enumerate(jobs, 1):
            results.append(function(shared, *job))
            if progress:
                progress(done, len(jobs))
        return results
    # As bytes: multiprocessing would pass each of thousands of tensors by a file handle of its own.
    data = pickle.dumps(shared)
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=get_context("spawn"), initializer=_receive, initargs=(data,)
    )
    try:
        futures = [pool.submit(_call, function, pickle.dumps(job)) for job in jobs]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            if progress:
                progress(done, len(jobs))
        return [pickle.loads(future.result()) for future in futures]
    finally:
        # After a failure what has not begun is not begun.
        pool.shutdown(cancel_futures=True)
