"""The recipe of the segmentation network: pairs drawn from phantoms, Dice and cross-entropy, resumable.

No human label and no scan but phantoms is in it. About half an hour on one core.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gftlib.errors import InputError
from gftlib.octa.fitting import seeded
from gftlib.octa.segmentation import evened
from gftlib.octa.segmentation_network import FACTOR, FEATURES, STRIDE, SegmentationNet
from gftlib.octa.segmentation_pairs import FINE_ALONE, LAYERS, LOOKS, UNRESOLVED, UNTRACED, ZOOM, draw_pairs
from gftlib.paths import atomic_path
from gftlib.phantoms.octa import GENERATOR_VERSION, OctaConfig, cohort, generate
from gftlib.phantoms.octa_config import SCAN_SIZE, Anatomy

logger = logging.getLogger(__name__)

BEDS = (OctaConfig(), OctaConfig(anatomy=Anatomy(sprouts=0.5, pitch=32.0)))
"""Settings of the training phantoms in turn: the experiments' own, and wider meshes with more dead ends."""


@dataclass(frozen=True)
class Recipe:
    """All that the trained weights depend on.

    Args:
        seed: Of the cohort of phantoms, the pairs, the weights and the order.
        phantoms: Phantoms whose vessel graphs the pairs are drawn from.
        pairs: Training scans drawn from their beds, beside the phantoms themselves.
        plain: Share of the patches that is cut from the phantoms themselves.
        features: Of the network.
        steps: Optimisation steps.
        batch: Patches a step.
        patch: Side of a patch, pixels of the scan.
        lr: Highest learning rate of AdamW; it rises over ``warm_up`` steps and falls to 0 as a cosine.
        warm_up: See ``lr``.
        weight_decay: Of AdamW.
        noise: Most standard deviation of normal noise added to evened patches.
    """

    seed: int = 9100
    phantoms: int = 64
    pairs: int = 480
    plain: float = 0.3
    features: tuple[int, ...] = FEATURES
    steps: int = 1800
    batch: int = 8
    patch: int = 96
    lr: float = 3e-3
    warm_up: int = 100
    weight_decay: float = 1e-4
    noise: float = 0.15

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for name in ("phantoms", "pairs", "steps", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.patch % STRIDE or not STRIDE <= self.patch <= SCAN_SIZE:
            raise InputError(f"patch is {self.patch}; it must be a multiple of {STRIDE}, at most {SCAN_SIZE}")

    def digest(self) -> str:
        """Return the SHA-256 of the recipe, of the ranges that pairs are drawn from and of the generator."""
        return _digest(dataclasses.asdict(self) | {"pairs": self.pairs_digest()})

    def pairs_digest(self) -> str:
        """Return the SHA-256 of what the training scans depend on."""
        ranges = [LOOKS, UNRESOLVED, UNTRACED, LAYERS, ZOOM, FINE_ALONE]
        return _digest([self.seed, self.phantoms, self.pairs, ranges, *(bed.config_hash() for bed in BEDS)])


@dataclass(frozen=True)
class Pairs:
    """Training scans in memory.

    Attributes:
        scans: (n, 304, 304) float16, evened.
        labels: (n, 2, 1216, 152) uint8 vessels and larger vessels, eight pixels of a row to a byte.
        phantoms: How many of them, the first ones, are phantoms as they are.
    """

    scans: np.ndarray
    labels: np.ndarray
    phantoms: int

    def patch(self, recipe: Recipe, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Cut a patch at random, turn or mirror it, add noise: (s, s) float32, (2, 4 s, 4 s) labels."""
        side, plain = recipe.patch, rng.random() < recipe.plain
        k = rng.integers(self.phantoms) if plain else rng.integers(self.phantoms, len(self.scans))
        # Labels are packed by eight: patches start at even columns of the scan.
        row, column = rng.integers(0, SCAN_SIZE - side + 1), 2 * rng.integers(0, (SCAN_SIZE - side) // 2 + 1)
        scan = self.scans[k, row : row + side, column : column + side].astype(np.float32)
        first = column * FACTOR // 8
        packed = self.labels[k, :, row * FACTOR : (row + side) * FACTOR, first : first + side * FACTOR // 8]
        label = np.unpackbits(packed, axis=2)
        scan = scan * rng.uniform(0.8, 1.25) + rng.uniform(0, recipe.noise) * rng.normal(0, 1, scan.shape)
        turns, mirrored = rng.integers(4), rng.random() < 0.5
        both = [np.rot90(each, turns, (-2, -1)) for each in (scan, label)]
        scan, label = (each.swapaxes(-2, -1) if mirrored else each for each in both)
        return scan.astype(np.float32), label


def training_pairs(recipe: Recipe, folder: Path) -> Pairs:
    """Draw the training scans, or read them if they are in the folder."""
    path = Path(folder) / f"pairs-{recipe.pairs_digest()[:12]}.npz"
    if not path.is_file():
        specs = cohort(recipe.phantoms, recipe.seed)
        # Beds take turns, and devices after each round of beds.
        phantoms = [
            generate(dataclasses.replace(spec, look="ab"[k // len(BEDS) % 2]), BEDS[k % len(BEDS)])
            for k, spec in enumerate(specs)
        ]
        logger.info("%d phantoms drawn", len(phantoms))
        scans, labels = draw_pairs(phantoms, recipe.pairs, recipe.seed)
        with atomic_path(path) as temporary:
            np.savez(temporary, scans=scans, labels=labels)
    with np.load(path, allow_pickle=False) as file:
        scans = np.stack([evened(scan / 255).astype(np.float16) for scan in file["scans"]])
        return Pairs(scans, file["labels"], recipe.phantoms)


def step_batch(pairs: Pairs, recipe: Recipe, step: int) -> tuple[Tensor, Tensor]:
    """Return the patches (B, 1, s, s) and labels (B, 2, 4 s, 4 s) of a step, always the same."""
    rng = np.random.default_rng([recipe.seed, 1, step])
    patches = [pairs.patch(recipe, rng) for _ in range(recipe.batch)]
    scans, labels = (np.stack(each) for each in zip(*patches, strict=True))
    return torch.from_numpy(scans)[:, None], torch.from_numpy(labels).float()


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine to 0."""
    if step < recipe.warm_up:
        return recipe.lr * (step + 1) / recipe.warm_up
    rest = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return recipe.lr * 0.5 * (1 + float(np.cos(np.pi * rest)))


def train(recipe: Recipe, folder: Path, *, stop: int | None = None, save_every: int = 100) -> SegmentationNet:
    """Train the network, or go on from its checkpoint.

    Args:
        recipe: Everything that the weights depend on.
        folder: Gets the pairs and ``checkpoint.safetensors``.
        stop: Pause before this step; default the recipe's last.
        save_every: Steps from one checkpoint to the next.

    Returns:
        The network as trained so far, in evaluation mode.
    """
    from monai.losses import DiceCELoss

    folder = Path(folder)
    pairs = training_pairs(recipe, folder)
    with seeded(recipe.seed):
        network = SegmentationNet(recipe.features)
    optimizer = torch.optim.AdamW(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    objective = DiceCELoss(sigmoid=True, batch=True)
    checkpoint = folder / "checkpoint.safetensors"
    last = recipe.steps if stop is None else min(stop, recipe.steps)
    network.train()
    for step in range(_restore(checkpoint, recipe, network, optimizer), last):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        scans, labels = step_batch(pairs, recipe, step)
        optimizer.zero_grad()
        found = network(scans)
        # One task a channel: the loss takes several channels for classes that exclude each other.
        loss = sum(objective(found[:, k : k + 1], labels[:, k : k + 1]) for k in range(found.shape[1]))
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % save_every == 0 or step + 1 == last:
            logger.info("step %d: loss %.4f", step + 1, loss.item())
            _save(checkpoint, recipe, network, optimizer, step + 1)
    return network.eval()


def write_weights(network: SegmentationNet, recipe: Recipe, path: Path) -> Path:
    """Write the weights in half precision, with what they were made from in the header."""
    header = {
        "recipe": json.dumps(dataclasses.asdict(recipe), sort_keys=True),
        "recipe_digest": recipe.digest(),
        "generator_version": GENERATOR_VERSION,
        "seed": str(recipe.seed),
        "trained_on": "phantoms only",
    }
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(weights, temporary, header)
    return path


def _digest(content: object) -> str:
    """Return the SHA-256 of plain content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _save(
    path: Path, recipe: Recipe, network: nn.Module, optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Write everything that the next step depends on."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    with atomic_path(path) as temporary:
        copies = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
        save_file(copies, temporary, {"recipe_digest": recipe.digest(), "step": str(step)})


def _restore(path: Path, recipe: Recipe, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Read a checkpoint of this recipe; return the next step, 0 if there is none."""
    if not path.is_file():
        return 0
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}}
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        if header["recipe_digest"] != recipe.digest():
            logger.info("%s is of another recipe: training starts anew", path)
            return 0
        for key in file.keys():  # noqa: SIM118 - the file is no mapping
            kind, _, name = key.partition(".")
            parts[kind][name] = file.get_tensor(key)
    network.load_state_dict(parts["network"])
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in parts["optimizer"].items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    return int(header["step"])
