"""The option ``--profile`` of the commands, said once."""

from __future__ import annotations

from typing import Annotated

import typer

PROFILES = "smoke, phantom, phantom-llama, phantom-sizes or paper"
ProfileName = Annotated[str, typer.Option(help=PROFILES)]
