"""The library is tested on its own: whatever only the book needs cannot even be imported here."""

from __future__ import annotations

import sys

for name in ("jupyter_book", "papermill", "snakemake", "myst_nb"):
    sys.modules[name] = None  # type: ignore[assignment]
