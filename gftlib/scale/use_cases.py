"""The two use cases of SCALE, ready to run: data, encoders, embeddings (section 2.3.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gftlib.datasets import derm7pt, padchest_gr
from gftlib.datasets.class_concepts import ClassConceptData, ClassConceptTask
from gftlib.errors import InputError, did_you_mean
from gftlib.phantoms import chest, skin
from gftlib.scale import tiny
from gftlib.scale.baselines import Setting
from gftlib.scale.embeddings import EmbeddingCache
from gftlib.scale.encoders import Encoder, Name, load_encoder
from gftlib.scale.features import Features, embed
from gftlib.scale.sampling import TrainingConfig

UseCaseName = Literal["monet", "medclip"]


@dataclass(frozen=True, eq=False)
class UseCase:
    """One use case.

    Args:
        name: That of its medical model.
        data: Images, labels, texts.
        encoder: The medical model.
        features: Its embeddings of the data.
        general: The original CLIP's embeddings of the same data, for its zero-shot prediction.
        retention_group: The group that is held back to see what general knowledge is kept; empty where the
            data do not hold it, or nothing else: then nothing is held back.
        figure_class: The class whose report sentences Figure 4 shows; empty where all texts are prompts, or
            where the data hold fewer than two combinations of it: then there is no figure.
    """

    name: UseCaseName
    data: ClassConceptData
    encoder: Encoder
    features: Features
    general: Features
    retention_group: str
    figure_class: str

    def setting(self, training: TrainingConfig, **more: Any) -> Setting:
        """Return what the methods are given; defaults of loss and adapters may be passed on."""
        return Setting(self.features, training, self.encoder, self.data, **more)


_PHANTOMS: dict[str, Callable[..., ClassConceptData]] = {"monet": skin.as_data, "medclip": chest.as_data}
_REAL: dict[str, Callable[..., ClassConceptData]] = {"monet": derm7pt.load, "medclip": padchest_gr.load}


def open_use_case(
    name: UseCaseName,
    samples: int,
    folder: Path | str | None = None,
    source: Path | str | None = None,
    weights: dict[Name, str] | None = None,
    views: int | None = None,
    flips: bool = False,
    seed: int = 0,
    device: str = "cpu",
) -> UseCase:
    """Load or draw the data and embed them once.

    Args:
        name: ``"monet"`` (skin) or ``"medclip"`` (chest).
        samples: Size of the phantom cohort; without effect on real data.
        folder: Where embeddings and drawn phantoms are kept; None: in memory.
        source: Folder of Derm7pt or PadChest-GR; None: phantoms.
        weights: Local folder, file or hub id of published encoders; those not named are the embedded ones.
        views: Augmented views per image; None: none for skin, four for chest, as the paper has it ("no
            augmentations in the first use case").
        flips: Whether views may be mirrored, see :class:`gftlib.scale.transforms.View`.
        seed: Of cohort and views.
        device: Where the encoders work.

    Raises:
        InputError: If the use case is unknown or the data cannot be used.
        MissingError: If data or weights are not there.
    """
    if name not in _PHANTOMS:
        raise InputError(f"unknown use case {name!r}{did_you_mean(name, _PHANTOMS)}")
    data = _PHANTOMS[name](n=samples, seed=seed, folder=folder) if source is None else _REAL[name](source)
    encoders = {which: _encoder(which, weights or {}, device) for which in (name, "clip")}
    views = {"monet": 0, "medclip": 4}[name] if views is None else views
    embedded = {
        which: embed(data, EmbeddingCache(encoder, folder), views if which == name else 0, flips, seed)
        for which, encoder in encoders.items()
    }
    group, figure_class = _shown(name, data.task)
    return UseCase(name, data, encoders[name], embedded[name], embedded["clip"], group, figure_class)


def _shown(name: UseCaseName, task: ClassConceptTask) -> tuple[str, str]:
    """Return the group to hold back and the class of Figure 4, empty where the task does not allow it."""
    group = {"monet": "regression_structures", "medclip": "consolidation"}[name]
    figure_class = {"monet": "", "medclip": "pleural effusion"}[name]
    groups = task.groups()
    several = sum(c.cls == figure_class for c in task.combinations) > 1
    return group if group in groups and len(groups) > 1 else "", figure_class if several else ""


def _encoder(name: Name, weights: dict[Name, str], device: str) -> Encoder:
    if weights.get(name):
        return load_encoder(name, weights[name], device=device)
    return tiny.load(name).to(device)
