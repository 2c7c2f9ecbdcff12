"""Sentences of a phantom's report: varied wording per finding and place, normal and incidental remarks."""

from __future__ import annotations

import numpy as np

from gftlib.datasets.class_concepts import NO_COMBINATION
from gftlib.datasets.padchest_locations import PRINTED

_EXTENT = ("small", "mild", "moderate", "slight", "discrete")

# Wordings by finding; {where} is the place, {extent} an adjective, {side} left, right or bilateral.
_SENTENCES: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        "Cardiomegaly.",
        "Enlarged cardiac silhouette.",
        "Increased cardiothoracic ratio.",
        "The heart is enlarged.",
        "{extent} cardiomegaly.",
        "Heart size above the normal limit.",
    ),
    "atelectasis": (
        "Atelectasis in the {where}.",
        "{extent} atelectasis of the {where}.",
        "Laminar atelectasis in the {where}.",
        "Subsegmental collapse in the {where}.",
        "Linear opacity in the {where}, consistent with atelectasis.",
    ),
    "consolidation": (
        "Consolidation in the {where}.",
        "{extent} consolidation of the {where}.",
        "Airspace opacity with air bronchogram in the {where}.",
        "Alveolar consolidation affecting the {where}.",
        "Ill-defined increased density in the {where}, suggesting consolidation.",
    ),
    "costophrenic angle": (
        "Blunting of the {side} costophrenic angle{s}, pleural effusion.",
        "{extent} pleural effusion in the {side} costophrenic angle{s}.",
        "Obliteration of the {side} costophrenic angle{s} by effusion.",
        "Pleural effusion blunting the {side} costophrenic angle{s}.",
        "Pinching of the {side} costophrenic sinus{es} due to pleural fluid.",
    ),
    "pleural": (
        "{side} pleural effusion.",
        "{extent} {side} pleural effusion.",
        "Pleural fluid on the {side} side{s}.",
        "{side} pleural effusion with a meniscus along the chest wall.",
        "Increased density of the {side} hemithorax{es} by pleural effusion.",
    ),
}
_PLACES = {
    "left lower lobe": ("left lower lobe", "lower lobe of the left lung", "left lung base"),
    "right lower lobe": ("right lower lobe", "lower lobe of the right lung", "right lung base"),
    "retrocardiac": ("retrocardiac region", "retrocardiac space", "area behind the heart"),
}
_NORMAL = (
    "No pneumothorax.",
    "The mediastinum is of normal width.",
    "No displaced rib fracture.",
    "Hila of normal size.",
    "Aortic contour without change.",
    "Degenerative changes of the dorsal spine.",
    "The upper lung fields are clear.",
)
_HEALTHY = (
    "No finding.",
    "Normal chest radiograph.",
    "Lungs clear, heart of normal size, costophrenic angles free.",
    "No significant abnormality.",
    "Unremarkable study.",
)


def sentence(index: int, rng: np.random.Generator) -> str:
    """Return one wording of a combination.

    Args:
        index: Index into ``gftlib.datasets.padchest_locations.PRINTED``.
        rng: Source of the choice.
    """
    finding, location = PRINTED[index].finding, PRINTED[index].location
    kind = location.split(" ", 1)[1] if finding == "pleural effusion" else finding
    words = {
        "extent": rng.choice(_EXTENT),
        "where": rng.choice(_PLACES.get(location, ("",))),
        "side": location.split()[0],
        "s": "s" if location.startswith("bilateral") else "",
        "es": "es" if location.startswith("bilateral") else "",
    }
    text = str(rng.choice(_SENTENCES[kind])).format(**words).replace("bilateral sides", "both sides")
    text = text.replace("on the both", "on both")
    return text[0].upper() + text[1:]


def report(recorded: tuple[int, ...], rng: np.random.Generator) -> list[tuple[str, int]]:
    """Return the sentences of one report with the combination each names.

    Args:
        recorded: The combinations on record; none for a normal study.
        rng: Source of the wording.

    Returns:
        ``(sentence, combination index)`` pairs in random order; remarks that name none carry
        ``gftlib.datasets.class_concepts.NO_COMBINATION``.
    """
    pairs = [(sentence(index, rng), index) for index in recorded]
    if not recorded:
        pairs.append((str(rng.choice(_HEALTHY)), NO_COMBINATION))
    else:
        remarks = rng.permutation(_NORMAL)[: int(rng.integers(0, 3))]
        pairs += [(str(remark), NO_COMBINATION) for remark in remarks]
    return [pairs[i] for i in rng.permutation(len(pairs))]
