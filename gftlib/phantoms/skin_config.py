"""Every setting that makes a skin phantom easy or hard, frozen and hashed in one place.

The values were set by looks alone, beside descriptions of dermoscopic criteria; no model was trained to
choose them.
"""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict

GENERATOR_VERSION = "1.0.0"


class SkinConfig(BaseModel):
    """Every setting that makes the phantoms easy or hard.

    Attributes:
        size: Side of the image in pixels.
        strength: Range of a structure's contrast, 0 to 1.
        correlation: See :func:`gftlib.phantoms.skin_cohort.cohort`.
        disagreement: See :func:`gftlib.phantoms.skin_cohort.cohort`.
        hair: Share of images with hair.
        ruler: Share of images with ruler ticks.
        bubbles: Share of images with bubbles of immersion fluid.
        vignette: Share of images with dark corners.
        blur: Range of the standard deviation of the focus in pixels.
        noise: Range of the standard deviation of the sensor noise in grey levels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = 160
    strength: tuple[float, float] = (0.25, 1.0)
    correlation: float = 0.35
    disagreement: float = 0.06
    hair: float = 0.35
    ruler: float = 0.12
    bubbles: float = 0.15
    vignette: float = 0.3
    blur: tuple[float, float] = (0.35, 0.8)
    noise: tuple[float, float] = (1.0, 3.0)

    def config_hash(self) -> str:
        """Return the SHA-256 of the version and every setting; it changes whenever the difficulty may."""
        content = json.dumps({"version": GENERATOR_VERSION, **self.model_dump(mode="json")}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


CONFIG = SkinConfig()
