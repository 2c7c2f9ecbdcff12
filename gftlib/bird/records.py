"""Med-GRIT records: from image-mask pairs to split conversations (BiRD, sections 3 and 5).

The order of things: sample (balanced), measure (`instances`), split by case, ask (`questions`), write
(`layouts`). Every choice that the paper does not state is a field of `RecordConfig`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from gftlib.bird.captions import Caption, rule_caption
from gftlib.bird.instances import ImageMeta
from gftlib.bird.questions import Turn, Writer, absent_names, turns_of
from gftlib.boxes import BoxFormat
from gftlib.datasets.slices import hashed
from gftlib.errors import InputError

Split = Literal["train", "test"]
# BiRD, Table 1: the sizes of the training set, here as shares of the largest.
SIZES = MappingProxyType({"20k": 1 / 12, "40k": 1 / 6, "80k": 1 / 3, "240k": 1.0})
# BiRD, Figure 3 shows how many turns a conversation has but prints no numbers. What the text fixes is the
# mean: 240k turns on 60k images are four.
TURNS = MappingProxyType({2: 0.1, 3: 0.2, 4: 0.4, 5: 0.2, 6: 0.1})


@dataclass(frozen=True)
class RecordConfig:
    """The choices of the record builder.

    Args:
        seed: Seed of split, sizes, choice and wording.
        test_share: Share of images in the test set ("approximately 12 %").
        turns: Probability of each number of turns of an image.
        negatives: Probability that an image gets a negative turn, if there is anything to ask for.
        box_format: How boxes are written.
    """

    seed: int = 0
    test_share: float = 0.12
    turns: Mapping[int, float] = field(default_factory=lambda: dict(TURNS))
    negatives: float = 1.0
    box_format: BoxFormat = BoxFormat.QWEN_VL

    def __post_init__(self) -> None:
        """Check the shares."""
        if not 0 < self.test_share < 1 or not 0 <= self.negatives <= 1:
            raise InputError(f"test_share must be in (0, 1), negatives in [0, 1]: got {self}")
        if abs(sum(self.turns.values()) - 1) > 1e-6 or min(self.turns.values()) < 0 or min(self.turns) < 1:
            raise InputError(
                f"turns must be probabilities of 1 or more turns that sum to 1: {dict(self.turns)}"
            )


@dataclass(frozen=True)
class Record:
    """The conversation about one image.

    Args:
        id: The stem of the image's file name.
        image: Its path relative to the root of the set.
        modality: As in `ImageMeta`.
        dataset: As in `ImageMeta`.
        case: The unit of splitting.
        split: ``train`` or ``test``.
        size: The smallest of `SIZES` that it belongs to; empty in the test set.
        shape: (height, width), pixels.
        turns: Questions and answers; negatives last.
    """

    id: str
    image: str
    modality: str
    dataset: str
    case: str
    split: Split
    size: str
    shape: tuple[int, int]
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Plan:
    """What must be known of all images before the first question is asked.

    Args:
        test: The cases of the test set.
        size: The smallest of `SIZES` of each training image, by id.
        of_dataset: The classes of each data set.
        of_modality: The classes of each modality.
    """

    test: frozenset[str]
    size: Mapping[str, str]
    of_dataset: Mapping[str, frozenset[str]]
    of_modality: Mapping[str, frozenset[str]]


def plan(metas: Iterable[ImageMeta], config: RecordConfig) -> Plan:
    """Read all meta information once and settle split, sizes and classes.

    Whole cases go to the test set, data set by data set in a random order, until its share is reached. The
    sizes are nested and hold the same share of every modality.

    Args:
        metas: Streamed; kept are an id, a case and a modality of each.
        config: The choices.
    """
    of_dataset: dict[str, set[str]] = defaultdict(set)
    of_modality: dict[str, set[str]] = defaultdict(set)
    cases: dict[str, Counter[str]] = defaultdict(Counter)
    images: list[tuple[str, str, str]] = []
    for meta in metas:
        of_dataset[meta.dataset].update(meta.present)
        of_modality[meta.modality].update(meta.present)
        cases[meta.dataset][meta.case] += 1
        images.append((meta.id, meta.case, meta.modality))
    test = frozenset().union(*(_test_cases(counts, config) for counts in cases.values()))
    groups: dict[str, list[str]] = defaultdict(list)
    for name, case, modality in images:
        if case not in test:
            groups[modality].append(name)
    size: dict[str, str] = {}
    for names in groups.values():
        names.sort(key=lambda name: hashed(config.seed, name))
        for rank, name in enumerate(names):
            # The middle of its slot: small groups are rounded, not always up.
            position = (rank + 0.5) / len(names)
            size[name] = next(key for key, share in SIZES.items() if position <= share)
    return Plan(
        test,
        size,
        {name: frozenset(labels) for name, labels in of_dataset.items()},
        {name: frozenset(labels) for name, labels in of_modality.items()},
    )


def _test_cases(counts: Counter[str], config: RecordConfig) -> set[str]:
    """Return whole cases until the share of their images is reached; a set of one case stays in training."""
    wanted, test = config.test_share * sum(counts.values()), set()
    for case in sorted(counts, key=lambda case: hashed(config.seed, case)):
        # Taking a case must come nearer to the share than leaving it.
        if wanted < counts[case] / 2 or len(test) + 1 >= len(counts):
            continue
        test.add(case)
        wanted -= counts[case]
    return test


def records(
    metas: Iterable[ImageMeta],
    settled: Plan,
    config: RecordConfig | None = None,
    caption: Caption = rule_caption,
) -> Iterator[Record]:
    """Yield the record of each image; the same image always gets the same record.

    Args:
        metas: Streamed.
        settled: From `plan` on the same images.
        config: The choices.
        caption: The teacher of captions.
    """
    config = config or RecordConfig()
    writer = Writer(config.box_format, caption)
    numbers, weights = zip(*sorted(config.turns.items()), strict=True)
    for meta in metas:
        rng = np.random.default_rng(hashed(config.seed, f"turns {meta.id}"))
        count = int(rng.choice(numbers, p=weights))
        roc = len(settled.of_modality[meta.modality]) > 1
        turns = list(turns_of(meta, count, writer, rng, roc))
        turns += _negative(meta, settled, config, writer)
        split: Split = "test" if meta.case in settled.test else "train"
        yield Record(
            id=meta.id,
            image=meta.image,
            modality=meta.modality,
            dataset=meta.dataset,
            case=meta.case,
            split=split,
            size="" if split == "test" else settled.size[meta.id],
            shape=meta.size,
            turns=tuple(turns),
        )


def _negative(meta: ImageMeta, settled: Plan, config: RecordConfig, writer: Writer) -> list[Turn]:
    # A stream of its own: with or without negatives, the other turns stay the same.
    rng = np.random.default_rng(hashed(config.seed, f"negative {meta.id}"))
    hard, easy = absent_names(meta, settled.of_dataset[meta.dataset], settled.of_modality)
    names = hard or easy
    if not names or rng.random() >= config.negatives:
        return []
    return [writer.negative(names[int(rng.integers(len(names)))], rng)]


def within(record: Record, size: str) -> bool:
    """Return whether a training record belongs to a nested size such as ``40k``.

    Raises:
        InputError: If there is no such size.
    """
    if size not in SIZES:
        raise InputError(f"unknown size {size!r}; known: {', '.join(SIZES)}")
    return record.split == "train" and SIZES[record.size] <= SIZES[size]


def tally(found: Iterable[Record]) -> dict[str, dict[str, int]]:
    """Return the number of turns by split and task, and of images and cases."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    cases: dict[str, set[str]] = defaultdict(set)
    for record in found:
        counts[record.split]["images"] += 1
        counts[record.split].update(turn.task for turn in record.turns)
        cases[record.split].add(record.case)
    return {
        split: dict(sorted(count.items())) | {"cases": len(cases[split])} for split, count in counts.items()
    }
