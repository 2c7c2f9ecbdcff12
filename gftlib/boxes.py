"""One grammar for boxes in text: what each model family writes, and what models really write.

Inside the library a box is xyxy = (x0, y0, x1, y1), half-open, in unit coordinates (0 is the left or upper
edge of the image, 1 the right or lower one). `format_box` writes it the way a model family was taught to,
`parse_boxes` reads it back and counts whatever it had to reject.

Sources: Qwen-VL and BiRD, section 3.1 (integers 0-1000, ``<ref>``, ``<box>``), Qwen2-VL (0-1000, renamed
tokens), Qwen2.5-VL (JSON, pixels of the resized image), Qwen3-VL (JSON, 0-1000).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gftlib.errors import InputError, did_you_mean

Size = tuple[int, int] | None
QUADRANTS = ("UL", "UR", "LL", "LR")
OVERSHOOT = 0.01
NOT_FOUR, OUT_OF_RANGE, EMPTY = "not four numbers", "out of range", "empty"


class BoxFormat(StrEnum):
    """How a model family writes a box; sizes are those of the image that the text speaks about."""

    QWEN_VL = "qwen_vl"
    QWEN2_VL = "qwen2_vl"
    QWEN3_VL = "qwen3_vl"
    QWEN25_ABSOLUTE = "qwen25_absolute"
    UNIT_XYXY = "unit_xyxy"
    PIXEL_XYXY = "pixel_xyxy"

    @classmethod
    def _missing_(cls, value: object) -> BoxFormat:
        raise InputError(f"unknown box format {value!r}{did_you_mean(str(value), map(str, cls))}")


@dataclass(frozen=True)
class ParseResult:
    """What `parse_boxes` found.

    Attributes:
        boxes: (N, 4) unit xyxy, corners in order, inside the image.
        refs: The N names the boxes were given, None where a box had no name.
        rejected: How many candidates were rejected, by reason; empty also when the text names no box at all.
    """

    boxes: NDArray[np.float64]
    refs: list[str | None]
    rejected: Counter[str] = field(default_factory=Counter)


def quadrant(x: ArrayLike, y: ArrayLike) -> str | NDArray[np.str_]:
    """Name the quadrant of points in unit coordinates; a point on a midline is right of, or below, it.

    Returns:
        One of `QUADRANTS` for two numbers, an array of them for two arrays of one shape.
    """
    index = (np.asarray(x) >= 0.5).astype(int) + 2 * (np.asarray(y) >= 0.5)
    return QUADRANTS[int(index)] if index.ndim == 0 else np.array(QUADRANTS)[index]


def mask_to_box(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the tight unit xyxy box, shape (4,), of the true pixels of an (H, W) mask.

    Raises:
        InputError: If the mask is not two-dimensional or has no true pixel.
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.ndim != 2 or not mask.any():
        raise InputError(f"a mask of shape {mask.shape} with {int(mask.sum())} true pixels has no box")
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    return np.array([cols[0] / width, rows[0] / height, (cols[-1] + 1) / width, (rows[-1] + 1) / height])


def smart_resize(
    height: int, width: int, factor: int = 28, min_pixels: int = 3136, max_pixels: int = 1003520
) -> tuple[int, int]:
    """Return the (height, width) to which the Qwen2-VL and Qwen2.5-VL processors resize an image.

    Both sides become multiples of ``factor``, the area lies from ``min_pixels`` to ``max_pixels``. Defaults
    are those of the processor class; published checkpoints override ``max_pixels`` (ask the processor).

    Raises:
        InputError: If a side is not positive or one side is more than 200 times the other.
    """
    if min(height, width) <= 0 or max(height, width) > 200 * min(height, width):
        raise InputError(f"cannot resize an image of {height} x {width}: sides must be > 0 and within 1:200")
    # round() is the processors' own rounding (half to even), so it must not be replaced here.
    rows, cols = round(height / factor) * factor, round(width / factor) * factor
    if rows * cols > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        rows = max(factor, math.floor(height / beta / factor) * factor)
        cols = max(factor, math.floor(width / beta / factor) * factor)
    elif rows * cols < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        rows = math.ceil(height * beta / factor) * factor
        cols = math.ceil(width * beta / factor) * factor
    return rows, cols


def frame(
    fmt: BoxFormat | str,
    size: Size = None,
    min_pixels: int = 3136,
    max_pixels: int = 1003520,
) -> NDArray[np.float64]:
    """Return (x, y, x, y), the numbers that a format writes for the right and lower edge of the image.

    Args:
        fmt: The box format.
        size: (height, width) of the original image, pixels; needed by the two pixel formats alone.
        min_pixels: As in `smart_resize`; used by ``qwen25_absolute`` alone.
        max_pixels: As ``min_pixels``.

    Raises:
        InputError: If the format is unknown, or is in pixels and ``size`` is not given.
    """
    fmt = BoxFormat(fmt)
    if fmt is BoxFormat.UNIT_XYXY:
        return np.ones(4)
    if fmt in (BoxFormat.QWEN_VL, BoxFormat.QWEN2_VL, BoxFormat.QWEN3_VL):
        return np.full(4, 1000.0)
    if size is None:
        raise InputError(f"boxes in {fmt} are in pixels: give size=(height, width) of the image")
    if fmt is BoxFormat.QWEN25_ABSOLUTE:
        size = smart_resize(*size, min_pixels=min_pixels, max_pixels=max_pixels)
    return np.array([size[1], size[0], size[1], size[0]], dtype=float)


def format_box(
    box: ArrayLike, fmt: BoxFormat | str, ref: str | None = None, size: Size = None, **resize: int
) -> str:
    """Write one box as text.

    Numbers are rounded to the unit of the format (one of 1000, one pixel, or 0.0001 for ``unit_xyxy``), so
    a round trip is exact within half a unit; a side that would vanish is widened to one unit.

    Args:
        box: Unit xyxy.
        fmt: The box format.
        ref: The name of what is in the box; no angle brackets or braces.
        size: As in `frame`.
        **resize: ``min_pixels`` and ``max_pixels`` of `frame`.

    Raises:
        InputError: If the box is not four ordered numbers from 0 to 1, or the name holds markup.
    """
    fmt = BoxFormat(fmt)
    box = np.asarray(box, dtype=float)
    if box.shape != (4,) or not (np.all(box >= 0) and np.all(box <= 1) and np.all(box[:2] < box[2:])):
        raise InputError(f"a box must be x0 < x1, y0 < y1 in [0, 1], got {box.tolist()}")
    if ref is not None and re.search(r"[<>{}]", ref):
        raise InputError(f"the name of a box must be free of <, >, {{ and }}: {ref!r}")
    edges = frame(fmt, size, **resize)
    unit = 1e-4 if fmt is BoxFormat.UNIT_XYXY else 1
    x0, y0, x1, y1 = _rounded(box * edges / unit, edges / unit)
    if tags := _TAGS.get(fmt):
        name = "" if ref is None else f"{tags[0]}{ref}{tags[1]}"
        return f"{name}{tags[2]}({x0},{y0}),({x1},{y1}){tags[3]}"
    values = [round(v * unit, 4) for v in (x0, y0, x1, y1)]
    key = "bbox" if fmt in (BoxFormat.UNIT_XYXY, BoxFormat.PIXEL_XYXY) else "bbox_2d"
    if ref is None and key == "bbox":
        return json.dumps(values)
    return json.dumps({key: values} | ({} if ref is None else {"label": ref}), ensure_ascii=False)


def format_boxes(
    boxes: ArrayLike,
    fmt: BoxFormat | str,
    refs: Sequence[str | None] | None = None,
    size: Size = None,
    **resize: int,
) -> str:
    """Write several boxes: a JSON list for the JSON formats, the boxes one after the other for the others.

    Arguments and errors are those of `format_box`, for (N, 4) boxes and N names (None: no names at all).
    """
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    refs = [None] * len(boxes) if refs is None else refs
    if len(refs) != len(boxes):
        raise InputError(f"{len(boxes)} boxes but {len(refs)} names")
    texts = [format_box(box, fmt, ref, size, **resize) for box, ref in zip(boxes, refs, strict=True)]
    return "".join(texts) if BoxFormat(fmt) in _TAGS else f"[{', '.join(texts)}]"


def _rounded(box: NDArray[np.float64], edges: NDArray[np.float64]) -> list[int]:
    # Half up, not half to even: a side of one unit or more can then never round to nothing.
    corners = np.floor(box + 0.5).astype(int)
    for low in (0, 1):
        if corners[low] == corners[low + 2]:
            corners[low + 2] = min(corners[low] + 1, int(edges[low]))
            corners[low] = corners[low + 2] - 1
    return corners.tolist()


_TAGS = {
    BoxFormat.QWEN_VL: ("<ref>", "</ref>", "<box>", "</box>"),
    BoxFormat.QWEN2_VL: ("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
}
_NUMBER = r"(?<![A-Za-z_\d.])[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
# Bounded gaps: a text of nothing but brackets must not take quadratic time.
_FOUR = rf"[\s\[(]{{0,8}}{_NUMBER}(?:[\s,;()\[\]]{{1,8}}{_NUMBER}){{3}}"
_QUAD = re.compile(rf"{_FOUR}(?![\d.]*\d)")
_BARE = re.compile(rf"[\[(]{_FOUR}[\s,]{{0,8}}[\])]")
_TAG = re.compile(r"<(/?)(ref|box)>|<\|(object_ref|box)_(start|end)\|>")
_OBJECT = re.compile(r"\{[^{}]*(?:\}|$)")
_KEY = re.compile(r"""[{,]\s*["']?(?:bbox_2d|bbox|box)["']?\s*[:=]([\s,;()\[\]\d.eE+-]*)""")
_LABEL = re.compile(r"""["']?\b(?:label|name|ref)["']?\s*[:=]\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)')""")


def parse_boxes(text: str, fmt: BoxFormat | str, size: Size = None, **resize: int) -> ParseResult:
    """Read all boxes of a text, whatever the markup; the format only says what the numbers mean.

    Read are both families of tags, else JSON objects (cut off or not), else bare bracketed quadruples.
    Corners may be reversed, numbers floats, brackets missing or of either kind, tags unclosed, names nested.
    A box that passes an edge by up to `OVERSHOOT` of the image is clipped.

    Args:
        text: What the model wrote.
        fmt: The box format.
        size: As in `frame`.
        **resize: ``min_pixels`` and ``max_pixels`` of `frame`.

    Returns:
        The boxes in the order of the text, their names, and how many candidates were rejected and why.
    """
    edges = frame(fmt, size, **resize)
    candidates = _tagged(text) or _objects(text) or [(None, bare.group()) for bare in _BARE.finditer(text)]
    boxes: list[NDArray[np.float64]] = []
    refs: list[str | None] = []
    rejected: Counter[str] = Counter()
    for ref, body in candidates:
        numbers = [float(number) for number in re.findall(_NUMBER, body)]
        if not numbers or len(numbers) % 4:
            rejected[NOT_FOUR] += 1
            continue
        for box in np.reshape(numbers, (-1, 4)) / edges:
            box = np.concatenate([np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])])
            clipped = box.clip(0, 1)
            if np.any(np.abs(box - clipped) > OVERSHOOT):
                rejected[OUT_OF_RANGE] += 1
            elif np.any(clipped[:2] >= clipped[2:]):
                rejected[EMPTY] += 1
            else:
                boxes.append(clipped)
                refs.append(ref)
    return ParseResult(np.array(boxes, dtype=float).reshape(-1, 4), refs, rejected)


def _tagged(text: str) -> list[tuple[str | None, str]]:
    """Return (name, body) of every tagged box; an unclosed box is its leading quadruple alone."""
    found: list[tuple[str | None, str]] = []
    name: str | None = None
    depth = 0
    tags = list(_TAG.finditer(text))
    for tag, following in zip_longest(tags, tags[1:]):
        closing = tag[1] == "/" or tag[4] == "end"
        between = text[tag.end() : following.start() if following else len(text)]
        if "ref" in (tag[2] or tag[3]):
            depth = max(depth - 1, 0) if closing else depth + 1
            if not closing:
                name = between.strip() or name if depth > 1 else between.strip()
            continue
        depth = 0
        if not closing:
            closed = following is not None and (following[1] == "/" or following[4] == "end")
            leading = _QUAD.match(between)
            found.append((name, between if closed else leading.group() if leading else ""))
    return found


def _objects(text: str) -> list[tuple[str | None, str]]:
    """Return (label, body) of every object with a box key, in JSON, Python or cut-off notation."""
    found: list[tuple[str | None, str]] = []
    for item in _OBJECT.finditer(text):
        label = _LABEL.search(item.group())
        for key in _KEY.finditer(item.group()):
            found.append((_unquoted(label), key[1]))
    return found


def _unquoted(label: re.Match[str] | None) -> str | None:
    if label is None or label[1] is None:
        return label and label[2]
    try:
        return json.loads(f'"{label[1]}"', strict=False)
    except json.JSONDecodeError:
        return label[1]
