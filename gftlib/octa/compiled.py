"""How the kernels of this package are compiled: once per machine, on one thread, without holding the GIL."""

from __future__ import annotations

import functools

from numba import njit

kernel = functools.partial(njit, cache=True, nogil=True, error_model="numpy")
"""Decorator factory: ``@kernel()``. Types follow from the first call; callers pass fixed dtypes.

Scratch arrays come from the caller, because numba takes seconds to compile an allocation. Counters passed on
start from a typed zero or an array entry, because numba would compile the callee once more for a literal.
"""
