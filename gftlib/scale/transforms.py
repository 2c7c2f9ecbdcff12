"""From an image to an encoder's input: resizing, normalisation, MedCLIP's augmentation and its flip trap."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as tf

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MEDCLIP_MEAN, MEDCLIP_STD = (0.5862785803043838,) * 3, (0.27950088968644304,) * 3


@dataclass(frozen=True)
class ImageTransform:
    """The fixed part of an encoder's preprocessing.

    Args:
        size: Side of the square input in pixels.
        mean: Per channel, of values in [0, 1].
        std: Per channel.
        fit: ``"crop"``: resize the shorter side, cut the centre (CLIP, MONET); ``"pad"``: grey, padded to a
            square with black, then resized (MedCLIP).
    """

    size: int = 224
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    fit: Literal["crop", "pad"] = "crop"

    def __call__(self, image: np.ndarray, augmentation: View | None = None) -> Tensor:
        """Return ``(3, size, size)`` float32 from ``(H, W)`` or ``(H, W, 3)`` uint8."""
        picture = self._square(image)
        if augmentation is not None:
            picture = augmentation.apply(picture, self.size)
        else:
            picture = picture.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return self.normalize(_channels(picture)[None])[0]

    def square(self, image: np.ndarray) -> np.ndarray:
        """Return ``(size, size, 3)`` uint8: what a call normalises."""
        return _channels(self._square(image).resize((self.size, self.size), Image.Resampling.BICUBIC))

    def normalize(self, images: np.ndarray) -> Tensor:
        """Return ``(N, 3, size, size)`` float32 from ``(N, size, size, 3)`` uint8."""
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        return tf.normalize(pixels, list(self.mean), list(self.std))

    def key(self) -> dict[str, Any]:
        """Return what identifies it, for the cache."""
        return asdict(self)

    def _square(self, image: np.ndarray) -> Image.Image:
        picture = Image.fromarray(image).convert("L" if self.fit == "pad" else "RGB")
        return _pad(picture) if self.fit == "pad" else _crop(picture)


@dataclass(frozen=True)
class View:
    """One augmented view with MedCLIP's published ranges: flip, jitter, affine, resize and random crop.

    Args:
        flip: Whether left and right are exchanged. Where left and right are the concept ("left lower lobe")
            a flipped image contradicts its label.
        brightness: Factor.
        contrast: Factor.
        angle: Degrees.
        translate: Fractions of width and height.
        scale: Factor.
        crop: Position of the crop as fractions of the free space.
    """

    flip: bool
    brightness: float
    contrast: float
    angle: float
    translate: tuple[float, float]
    scale: float
    crop: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, flips: bool) -> View:
        """Draw a view: flip 0.5, jitter 0.2, 10 degrees, translation 0.0625, scale 0.8 to 1.1.

        Args:
            rng: Source of randomness.
            flips: Whether views may be flipped; the same other values are drawn either way.
        """
        flip = bool(rng.random() < 0.5) and flips
        brightness, contrast = rng.uniform(0.8, 1.2, 2).tolist()
        angle = float(rng.uniform(-10, 10))
        x, y = rng.uniform(-0.0625, 0.0625, 2).tolist()
        scale = float(rng.uniform(0.8, 1.1))
        left, top = rng.random(2).tolist()
        return cls(flip, brightness, contrast, angle, (x, y), scale, (left, top))

    def apply(self, picture: Image.Image, size: int) -> Image.Image:
        """Return the view of a square picture at ``size`` pixels a side."""
        if self.flip:
            picture = tf.horizontal_flip(picture)
        picture = tf.adjust_contrast(tf.adjust_brightness(picture, self.brightness), self.contrast)
        shift = [round(part * side) for part, side in zip(self.translate, picture.size, strict=True)]
        picture = tf.affine(picture, self.angle, shift, self.scale, [0.0, 0.0])
        large = round(size * 256 / 224)
        picture = picture.resize((large, large), Image.Resampling.BICUBIC)
        left, top = (round(part * (large - size)) for part in self.crop)
        return picture.crop((left, top, left + size, top + size))


def draw_views(i: int, count: int, flips: bool, seed: int) -> list[View | None]:
    """Return image ``i`` itself (None), then ``count`` augmented views of its own, as MedCLIP draws them.

    Args:
        i: Index of the image.
        count: Number of augmented views.
        flips: See :meth:`View.draw`; about half of the views are then mirrored.
        seed: Of all views.
    """
    rng = np.random.default_rng([seed, i])
    return [None, *(View.draw(rng, flips) for _ in range(count))]


def _pad(picture: Image.Image) -> Image.Image:
    side = max(picture.size)
    square = Image.new(picture.mode, (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def _crop(picture: Image.Image) -> Image.Image:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _channels(picture: Image.Image) -> np.ndarray:
    return np.array(picture.convert("RGB"))
