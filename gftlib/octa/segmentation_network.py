"""Vessel masks from OCTA scans by a small network that has seen phantoms only (GFT, section 2.2).

The architecture is MONAI's ``BasicUNet`` (after Falk et al., "U-Net: deep learning for cell counting,
detection, and morphometry", Nature Methods 2019), run on the 304-pixel scan; sixteen output channels a
task are rearranged into the 4x4 mask pixels of each scan pixel (Shi et al., "Real-time single image and video
super-resolution using an efficient sub-pixel convolutional neural network", CVPR 2016). The training is in
:mod:`gftlib.octa.segmentation_training`. It stands beside
:func:`gftlib.octa.segmentation.segment_classical`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from skimage.filters import apply_hysteresis_threshold
from skimage.morphology import remove_small_objects
from skimage.transform import resize
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle

from gftlib.errors import InputError, MissingError
from gftlib.octa.segmentation import GRID, evened

FACTOR = 4
"""Mask pixels to a scan pixel."""

SCAN = GRID // FACTOR
"""Longer side of the scan as the network sees it, pixels."""

STRIDE = 16
"""The network halves its input four times."""

TASKS = 2
"""What the network tells of each mask pixel: whether it is vessel, and whether it is of a larger vessel."""

FEATURES = (24, 24, 48, 64, 96, 24)
"""Channels of BasicUNet's five levels and of its last layer."""

THRESHOLD = 0.5
"""Probability from which a mask pixel is vessel."""

CERTAIN = 0.9
"""Probability that a vessel must reach somewhere: what never does is noise, most of it in the dark FAZ."""

WEIGHTS = Path(__file__).with_name("weights") / "segmentation.safetensors"


class SegmentationNet(nn.Module):
    """BasicUNet on the scan, sub-pixel convolution to the mask.

    Args:
        features: See :data:`FEATURES`.
    """

    def __init__(self, features: tuple[int, ...] = FEATURES) -> None:
        """Draw the weights from torch's current random state."""
        # MONAI takes seconds to import: whoever only asks for a constant should not wait for it.
        from monai.networks.nets import BasicUNet

        super().__init__()
        self.unet = BasicUNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=TASKS * FACTOR**2,
            features=features,
            norm=("batch", {}),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, scan: Tensor) -> Tensor:
        """Return logits (B, 2, 4 H, 4 W) of the tasks for evened scans (B, 1, H, W), sides of 16 n."""
        return pixel_shuffle(self.unet(scan.contiguous(memory_format=torch.channels_last)), FACTOR)


def prepared(image: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the scan as the network sees it: 304 pixels on its longer side, evened.

    Args:
        image: Grey scan in [0, 1], shape (H, W).

    Raises:
        InputError: If it is not a grey image with some contrast.
    """
    image = np.asarray(image, dtype=float)
    if image.ndim != 2 or min(image.shape) < 32:
        raise InputError(f"a grey scan of at least 32 x 32 pixels is needed, found shape {image.shape}")
    if not np.isfinite(image).all() or np.ptp(image) < 1e-3:
        raise InputError("the scan is constant or holds NaN or infinite values: there are no vessels to find")
    if image.min() < 0 or image.max() > 1:
        raise InputError(
            f"a scan in [0, 1] is needed, found values from {image.min():g} to {image.max():g}: divide 8-bit"
            " values by 255"
        )
    shape = tuple(round(side * SCAN / max(image.shape)) for side in image.shape)
    if shape != image.shape:
        image = resize(image, shape, order=3, anti_aliasing=max(image.shape) > SCAN)
    return evened(image).astype(np.float32)


@torch.no_grad()
def vessel_probability(image: NDArray[np.floating], network: nn.Module | None = None) -> NDArray[np.float32]:
    """Return the probabilities of each mask pixel for lying on a vessel, and on a larger one.

    Larger vessels are the arterioles and venules of the phantoms, down to their finest branches.

    Args:
        image: Grey scan in [0, 1], shape (H, W); of a 3 mm field, about 304 pixels wide.
        network: Default that of the shipped weights.

    Returns:
        Probabilities of both, shape (2, H, W); the longer side is 1216 pixels, the other keeps the scan's
        proportion.

    Raises:
        InputError: If the scan is not a grey image with some contrast.
    """
    network = network or load_network()
    scan = torch.from_numpy(prepared(image))[None, None]
    height, width = scan.shape[2:]
    padded = pad(scan, (0, -width % STRIDE, 0, -height % STRIDE), mode="reflect")
    found = network.eval()(padded).sigmoid()[0, :, : FACTOR * height, : FACTOR * width]
    return found.numpy()


def segment_learned(
    image: NDArray[np.floating],
    *,
    size: int = GRID,
    threshold: float = THRESHOLD,
    certain: float = CERTAIN,
    min_island_px: int = 200,
    network: nn.Module | None = None,
) -> NDArray[np.bool_]:
    """Segment the vessels of a scan by the network, with hysteresis as the classical method has.

    Args:
        image: Grey scan in [0, 1], shape (H, W); of a 3 mm field, about 304 pixels wide.
        size: Longer side of the mask, pixels.
        threshold: Probability from which a pixel is vessel.
        certain: Probability that each connected piece must reach somewhere.
        min_island_px: Connected pieces smaller than this are noise, pixels of the mask.
        network: Default that of the shipped weights.

    Returns:
        Vessel mask; its sides keep the proportion of the scan's.

    Raises:
        InputError: If the scan is not a grey image with some contrast, or not 0 < threshold <= certain < 1.
    """
    if not 0 < threshold <= certain < 1:
        raise InputError(f"0 < threshold <= certain < 1 is needed, not {threshold} and {certain}")
    found = vessel_probability(image, network)[0]
    if size != GRID:
        found = resize(found, tuple(round(side * size / GRID) for side in found.shape), order=1)
    mask = apply_hysteresis_threshold(found, threshold, certain)
    return remove_small_objects(mask, max_size=min_island_px - 1, connectivity=2)


@lru_cache(maxsize=2)
def load_network(path: Path = WEIGHTS) -> SegmentationNet:
    """Return the network with weights of a file, in evaluation mode.

    Args:
        path: A file that :func:`gftlib.octa.segmentation_training.write_weights` wrote.

    Raises:
        MissingError: If there is no such file.
        InputError: If it does not hold exactly this network's weights.
    """
    if not path.is_file():
        raise MissingError(f"no weights at {path}: train them with gftlib.octa.segmentation_training.train")
    # The random state is put back: to load weights must not change what is drawn after.
    with torch.random.fork_rng():
        network = SegmentationNet()
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        network.load_state_dict({name: value.float() for name, value in weights.items()})
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{path} does not hold the weights of this network: {error}") from error
    return network.eval()


def read_header(path: Path = WEIGHTS) -> dict[str, str]:
    """Return what the file of weights says of itself: recipe digest, generator version, seed, steps."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())
