"""Every setting that makes a chest phantom easy or hard, frozen and hashed in one place.

The values were set by looks alone; no model was trained to choose them.
"""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict

GENERATOR_VERSION = "1.0.0"


class ChestConfig(BaseModel):
    """Every setting that makes the phantoms easy or hard.

    Attributes:
        size: Side of the image in pixels.
        strength: Range of a finding's contrast, 0 to 1.
        ratio: Mean and standard deviation of the cardiothoracic ratio without cardiomegaly.
        large_ratio: The same with cardiomegaly; the two overlap, as they do in reading rooms.
        disagreement: See :func:`gftlib.phantoms.chest_cohort.cohort`.
        tilt: Standard deviation of the body's rotation in the image in radians.
        portable: Share of anteroposterior views, which enlarge the heart and are noisier.
        device: Share of patients with at least one device or wire.
        blur: Range of the standard deviation of the focus in pixels.
        noise: Range of the standard deviation of the detector noise in grey levels.
        contrast: Range of the exponent of the tone curve.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = 224
    strength: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (0.45, 0.028)
    large_ratio: tuple[float, float] = (0.565, 0.035)
    disagreement: float = 0.06
    tilt: float = 0.03
    portable: float = 0.3
    device: float = 0.3
    blur: tuple[float, float] = (0.4, 1.0)
    noise: tuple[float, float] = (2.0, 6.0)
    contrast: tuple[float, float] = (1.0, 1.6)

    def config_hash(self) -> str:
        """Return the SHA-256 of the version and every setting; it changes whenever the difficulty may."""
        content = json.dumps({"version": GENERATOR_VERSION, **self.model_dump(mode="json")}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


CONFIG = ChestConfig()
