"""Image-text pairs, matching and mixed (SCALE, section 2.3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gftlib.datasets.class_concepts import NO_COMBINATION, ClassConceptData
from gftlib.errors import InputError


@dataclass(frozen=True)
class Pair:
    """One image with one sentence.

    Args:
        sample: Index of the image in its data.
        sentence: The text.
        combination: The combination that image and sentence share.
        source: Index of the sample that the sentence was written for.
    """

    sample: int
    sentence: str
    combination: int
    source: int


def own_pairs(data: ClassConceptData) -> list[Pair]:
    """Return each image with each of its own sentences that names a combination."""
    return [
        Pair(i, sentence, h, i)
        for i, sentences in enumerate(data.texts)
        for sentence, h in sentences
        if h != NO_COMBINATION
    ]


def mix_pairs(data: ClassConceptData, seed: int, per_pair: int = 1) -> list[Pair]:
    """Pair images with sentences written for other patients about the same combination.

    "To artificially enlarge the dataset, we mixed non-corresponding image-text pairs of the same
    class-concept-combination" (SCALE, section 2.3.1). Mix within one split only: pass ``data.subset(...)``.

    Args:
        data: Samples of one split.
        seed: Seed of the draw.
        per_pair: Mixed pairs for each own pair.

    Returns:
        The mixed pairs, without the own ones; a combination that one subject alone holds gives none.

    Raises:
        InputError: If ``per_pair`` is negative.
    """
    if per_pair < 0:
        raise InputError(f"per_pair must not be negative, got {per_pair}")
    rng = np.random.default_rng(seed)
    own = own_pairs(data)
    mixed = []
    for pair in own:
        others = [
            other
            for other in own
            if other.combination == pair.combination
            and data.subjects[other.sample] != data.subjects[pair.sample]
        ]
        for choice in rng.integers(0, len(others), per_pair) if others else ():
            other = others[choice]
            mixed.append(Pair(pair.sample, other.sentence, pair.combination, other.sample))
    return mixed
