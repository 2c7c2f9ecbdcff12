"""The endpoint that a profile describes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gftlib.endpoint.client import Endpoint, Settings
from gftlib.errors import InputError, MissingError
from gftlib.sections import TeacherEndpoint


def profiled_endpoint(settings: TeacherEndpoint, folder: Path, images: bool) -> Endpoint:
    """Return the endpoint of a profile with its record in ``folder``.

    Args:
        settings: Model, address, limits and prices.
        folder: Gets ``record.jsonl``.
        images: Images may leave this machine.

    Raises:
        MissingError: If model or address are to be read from the environment and are not there.
        InputError: If there is a budget and no price.
    """
    priced = settings.usd_in + settings.usd_out > 0
    if settings.max_usd and not priced:
        raise InputError("dialogue.endpoint: max_usd needs the prices usd_in and usd_out")
    chosen = Settings(
        model=expanded(settings.model),
        base_url=expanded(settings.base_url) or None,
        max_tokens=settings.max_tokens,
        concurrency=settings.concurrency,
        requests_per_minute=settings.requests_per_minute or None,
        usd_in=settings.usd_in,
        usd_out=settings.usd_out,
        max_usd=settings.max_usd if priced else None,
        allow_images=images,
    )
    return Endpoint(chosen, folder / "record.jsonl")


def expanded(text: str) -> str:
    """Return a text of a profile with the environment variables in it read.

    Raises:
        MissingError: If one is not set.
    """
    expanded = os.path.expandvars(text)
    if name := re.search(r"\$\{?(\w+)", expanded):
        raise MissingError(f"the environment variable {name[1]} is not set: the profile reads it in {text!r}")
    return expanded
