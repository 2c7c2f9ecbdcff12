from __future__ import annotations

import pytest

from gftlib.bird.instances import ImageMeta, Instance


@pytest.fixture
def make_meta():
    """Return a function that builds the meta information of an image from (label, box) pairs."""

    def make(
        found,
        stem="ct_00--A--c1--z_0001",
        modality="ct",
        dataset="A",
        case=None,
        present=(),
        region="abdomen",
    ):
        instances = tuple(
            Instance(label, label.replace("_", " "), box, (box[2] - box[0]) * (box[3] - box[1]))
            for label, box in found
        )
        return ImageMeta(
            id=stem,
            image=f"images/{stem}.png",
            modality=modality,
            dataset=dataset,
            case=case or f"{dataset}--{stem.split('--')[2]}",
            orientation="axial" if modality == "ct" else None,
            region=region,
            size=(100, 200),
            instances=tuple(sorted(instances, key=lambda i: -i.area)),
            present=tuple(sorted({label for label, _ in found} | set(present))),
        )

    return make
