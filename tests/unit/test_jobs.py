"""Jobs on shared data: in order, in this process or in others, failures passed on."""

import logging
import os

import numpy as np
import pytest
import torch

from gftlib.errors import InputError
from gftlib.jobs import run_jobs


def scaled(shared, factor, other):
    return os.getpid(), shared * factor, other


def refused(shared, factor):
    raise InputError(f"factor {factor} is not to be had")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_the_order_of_the_jobs(workers):
    told = []
    shared = torch.arange(3.0)
    jobs = [(k, np.full(2, k)) for k in range(4)]
    found = run_jobs(scaled, shared, jobs, workers, lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (os.getpid() in {pid for pid, *_ in found}) == (workers == 1)
    for k, (_, value, other) in enumerate(found):
        assert torch.equal(value, shared * k)
        assert other.tolist() == [k, k]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_reaches_the_caller(workers):
    with pytest.raises(InputError, match="factor 0 is not to be had"):
        run_jobs(refused, None, [(0,), (0,)], workers)


def test_a_device_gets_one_network_at_a_time(caplog):
    with caplog.at_level(logging.INFO, "gftlib.jobs"):
        found = run_jobs(scaled, 1, [(2, 3), (4, 5)], workers=2, device="cuda")
    assert found == [(os.getpid(), 2, 3), (os.getpid(), 4, 5)]
    assert caplog.messages == ["cuda holds one network at a time: one process in place of 2"]


def test_no_jobs_and_bad_workers():
    assert run_jobs(scaled, None, []) == []
    with pytest.raises(InputError, match="workers is 0"):
        run_jobs(scaled, None, [], workers=0)
