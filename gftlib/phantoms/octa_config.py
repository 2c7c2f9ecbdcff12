"""Every setting that makes an OCTA phantom easy or hard, frozen and hashed in one place.

The values were set by realism alone: beside simulated deep-vascular-complex labels, real en-face scans and
the size of one published real graph (about 2,090 nodes, 2,680 segments and 580 intercapillary areas). No
model was trained to choose them. Lengths are pixels of the 1216-grid (3 mm field, 2.47 µm a pixel) unless
named otherwise.
"""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict, Field

GENERATOR_VERSION = "1.1.0"
SIZE = 1216
SCAN_SIZE = 304
FACTOR = SIZE // SCAN_SIZE


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Anatomy(_Frozen):
    """The healthy vascular bed: foveal avascular zone (FAZ), trees, capillary mesh."""

    margin: float = 150.0
    faz_area: float = 47000.0
    faz_area_sigma: float = 0.33
    faz_roughness: float = 0.05
    faz_shift: float = 22.0
    main_roots: tuple[int, int] = (5, 7)
    later_roots: int = 9
    trunk_steps: tuple[int, int] = (12, 29)
    attractors: int = 1400
    tree_step: float = 13.0
    tree_influence: float = 260.0
    tree_kill: float = 44.0
    tree_inertia: float = 0.9
    trunk_inertia: float = 2.2
    wander: float = 0.16
    trunk_clearance: float = 1.7
    tree_clearance: float = 1.15
    tip_radius: float = 3.4
    uptake: float = 0.31
    uptake_sigma: float = 0.25
    venule_widening: float = 1.12
    largest_radius: float = 11.5
    pitch: float = 25.4
    pitch_sigma: float = 0.32
    capillary_radius: float = 3.1
    capillary_radius_sigma: float = 0.11
    branch_spacing: float = 2.1
    junction_spacing: float = 1.9
    least_angle: float = 42.0
    sprouts: float = 0.155
    warp: tuple[tuple[float, float], ...] = ((150.0, 14.0), (60.0, 5.0), (27.0, 1.2))


class Lesions(_Frozen):
    """How often and how strongly lesions appear, as functions of an eye's severity in [0, 1]."""

    dropout_rate: tuple[float, float] = (0.2, 6.0)
    dropout_radius: tuple[float, float] = (38.0, 72.0)
    faz_growth: float = 0.50
    faz_growth_sigma: float = 0.08
    faz_growth_least: float = 0.14
    microaneurysm_rate: tuple[float, float] = (0.4, 8.0)
    microaneurysm_radius: tuple[float, float] = (4.8, 7.5)
    tortuosity_rate: tuple[float, float] = (0.15, 2.4)
    beading_rate: tuple[float, float] = (0.03, 1.6)
    shunt_probability: float = 0.55
    tuft_radius: tuple[float, float] = (55.0, 105.0)
    tuft_pitch: float = 17.5
    tuft_vessel_radius: float = 2.5
    tuft_probability: float = 0.65
    capillary_thinning: float = 0.10


class Look(_Frozen):
    """One device: blur, noise, contrast, fall-off and line artefacts of the 304-grid image.

    Attributes:
        psf: Blur, pixels.
        speckle: Relative strength of multiplicative speckle.
        grain: Size of a speckle, pixels.
        haze: Even background of perfused tissue.
        texture: Capillaries out of focus.
        projection: Superficial vessels.
        floor: Level of the noise where nothing flows.
        contrast: Gain.
        gamma: Exponent.
        vignette: Loss at the corners.
        line_jitter: Relative gain of single lines.
        motion_rate: Motion lines a scan.
        shadow_rate: Shadows a scan.
    """

    psf: float
    speckle: float
    grain: float
    haze: float
    texture: float
    projection: float
    floor: float
    contrast: float
    gamma: float
    vignette: float
    line_jitter: float
    motion_rate: float
    shadow_rate: float


class Cohort(_Frozen):
    """Who is scanned.

    The mix is inferred, not published: the printed recalls of GFT, Table 1, are multiples of 1/16 (NPDR) and
    1/32 (PDR), and a sixth of 1264 scans is about 211, which leaves 163 healthy ones.
    """

    mix: tuple[float, float, float] = (0.775, 0.075, 0.15)
    both_eyes: float = 0.72
    repeat: float = 0.12
    fellow_shift: float = 0.10
    severity_mean: tuple[float, float, float] = (0.10, 0.37, 0.56)
    severity_spread: tuple[float, float, float] = (0.08, 0.16, 0.18)
    eye_correlation: float = 0.75
    splits: int = Field(default=6, ge=1)


LOOK_A = Look(
    psf=0.50, speckle=0.26, grain=0.45, haze=0.10, texture=0.11, projection=0.08, floor=0.045, contrast=1.25,
    gamma=1.0, vignette=0.20, line_jitter=0.03, motion_rate=1.0, shadow_rate=0.45,
)  # fmt: skip
LOOK_B = Look(
    psf=0.80, speckle=0.38, grain=0.60, haze=0.06, texture=0.09, projection=0.14, floor=0.030, contrast=1.7,
    gamma=1.25, vignette=0.42, line_jitter=0.06, motion_rate=2.2, shadow_rate=0.9,
)  # fmt: skip


class OctaConfig(_Frozen):
    """The generator's whole configuration.

    Attributes:
        anatomy: The healthy bed.
        lesions: Disease.
        look_a: Device "a", the default.
        look_b: Device "b", for shift tests.
        cohort: Subjects, eyes, stages and splits.
    """

    anatomy: Anatomy = Anatomy()
    lesions: Lesions = Lesions()
    look_a: Look = LOOK_A
    look_b: Look = LOOK_B
    cohort: Cohort = Cohort()

    def config_hash(self) -> str:
        """Return the SHA-256 of the version and every setting; it changes whenever the difficulty may."""
        content = json.dumps({"version": GENERATOR_VERSION, **self.model_dump(mode="json")}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()
