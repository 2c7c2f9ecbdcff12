"""Adapter and CoOp steps against the published loops, and a plain loop on the same cached features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._timing import interleaved
from gftlib.datasets import derm7pt
from gftlib.scale import clip, tiny
from gftlib.scale.adapters import AdapterConfig, AdapterPair
from gftlib.scale.coop import ContextTexts, CoopConfig, names
from gftlib.scale.features import Features
from gftlib.scale.losses import ScaleLossConfig, scale_loss, stack
from gftlib.scale.sampling import TrainingConfig, sampler_of
from gftlib.scale.stacked import Run

BATCH, DIM, RUNS = 32, 512, 20


def features(n: int = 160, dim: int = DIM) -> Features:
    """Return random embeddings of a Derm7pt-like set."""
    rng = np.random.default_rng(0)
    task = derm7pt.task()
    labels = np.zeros((n, len(task)), np.uint8)
    for columns in task.groups().values():
        labels[np.arange(n), np.array(columns)[rng.integers(0, len(columns), n)]] = 1
    unit = nn.functional.normalize(torch.randn(n + len(task) + 1, dim), dim=-1)
    prompts = unit[n : n + len(task)]
    test = np.arange(n) >= n - 32
    pairs = np.array([(i, h, h) for i in range(n) for h in np.flatnonzero(labels[i])])
    subjects = np.arange(n).astype(str)
    return Features(task, unit[None, :n], prompts, unit[-1], prompts, pairs, labels, subjects, test, 100.0)


def trainer(data: Features, seeds: range) -> Callable[[], None]:
    """Return one epoch of training, as a call, of the runs of ``seeds`` side by side."""
    config = TrainingConfig(max_batch=BATCH, min_steps=1)
    runs = [Run(data.pool, seed) for seed in seeds]
    pair = AdapterPair(data.dim, AdapterConfig(), len(runs))
    sampler = sampler_of(data, [r.rows for r in runs], [r.seed for r in runs], config)
    optimizer = torch.optim.Adam(pair.parameters(), 1e-3, fused=True)
    loss_config = stack([run.loss for run in runs])

    def epoch() -> None:
        for units in sampler.epoch():
            optimizer.zero_grad()
            scale_loss(sampler.batch(pair, units, loss_config), data.relations, loss_config).sum().backward()
            optimizer.step()

    return epoch


def plain_loop(data: Features) -> Callable[[], None]:
    """Return one epoch as anyone would write it on cached features: one run, one criterion after another."""
    down, up = (nn.ModuleList(nn.Linear(a, b, bias=False) for _ in range(2)) for a, b in _shapes(data.dim))
    alpha = nn.Parameter(torch.tensor([0.2, 0.2]))
    optimizer = torch.optim.Adam([*down.parameters(), *up.parameters(), alpha], 1e-3)
    groups = list(data.task.groups().values())
    images, config = data.images[0, torch.from_numpy(data.pool)], ScaleLossConfig()
    labels = torch.from_numpy(data.labels[data.pool]).bool()

    def blend(i: int, f: Tensor) -> Tensor:
        out = alpha[i] * up[i](down[i](f).relu()) + (1 - alpha[i]) * f
        return nn.functional.normalize(out, dim=-1)

    def epoch() -> None:
        for rows in torch.randperm(len(images)).split(BATCH):
            image, total = blend(0, images[rows]), 0.0
            for members in groups:
                target = labels[rows][:, members].float().argmax(1)
                texts = blend(1, data.prompts[members])
                q = image @ texts[target].T
                total = total + _literal(q, target, len(members), members, data, config)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()

    return epoch


def _shapes(dim: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (dim, dim // 4), (dim // 4, dim)


def _literal(
    q: Tensor, target: Tensor, k: int, members: list[int], data: Features, config: ScaleLossConfig
) -> Tensor:
    """Equation 3 with everyday torch calls on one criterion."""
    columns = [(target == h).nonzero()[:1, 0] for h in range(k)]
    present = torch.tensor([len(c) > 0 for c in columns])
    z = q.new_full((len(q), k), -1e9)
    z[:, present] = q[:, torch.cat(columns)]
    cls = torch.tensor(data.task.class_index[members])
    kinds, own = cls.unique(return_inverse=True)
    by_class = torch.stack([z[:, own == c].amax(1) for c in range(len(kinds))], 1)
    entropy = nn.functional.cross_entropy
    s = config.logit_scale
    total = 2 * entropy(s * z, target, reduction="sum") + entropy(s * by_class, own[target], reduction="sum")
    for rows in (q, q.T):
        unit = nn.functional.normalize(rows, dim=1)
        logits = unit @ unit.T / config.temperature
        logits = logits.masked_fill(torch.eye(len(q), dtype=torch.bool), -1e9)
        same = (target[:, None] == target) & ~torch.eye(len(q), dtype=torch.bool)
        log = logits.log_softmax(1)
        count = same.sum(1)
        total = total - config.lambda_image * ((log * same).sum(1) / count.clamp_min(1)).sum()
    return total


def published_loop(model: nn.Module, tokens: Tensor) -> Callable[[], None]:
    """Return one adapter step with both frozen encoders inside it, as CLIP-Adapter's code has it."""
    pair = AdapterPair(DIM, AdapterConfig())
    optimizer = torch.optim.Adam(pair.parameters(), 1e-3)
    pixels = torch.randn(BATCH, 3, 224, 224)

    def step() -> None:
        with torch.no_grad():
            images, texts = model.encode_image(pixels), model.encode_text(tokens)
        logits = pair(images, texts) * 100
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.arange(BATCH) % len(tokens)).backward()
        optimizer.step()

    return step


def cached_step(data: Features) -> Callable[[], None]:
    """Return the same step on cached embeddings."""
    pair = AdapterPair(DIM, AdapterConfig())
    optimizer = torch.optim.Adam(pair.parameters(), 1e-3, fused=True)
    images = data.images[0, :BATCH]

    def step() -> None:
        logits = pair(images, data.prompts) * 100
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.arange(BATCH) % len(data.prompts)).backward()
        optimizer.step()

    return step


def coop_steps(model: nn.Module) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a CoOp step, images cached, with the prefix shared, and with 77 tokens for every label."""
    task = derm7pt.task()
    encoder = tiny.build("clip", names(task))
    encoder.model, encoder.tokenizer = model, clip_tokenizer()
    texts = ContextTexts(encoder, names(task), CoopConfig(context=16), seeds=[0])
    tokens = encoder.tokenizer(names(task))
    words = model.token_embedding(tokens).detach()
    images = nn.functional.normalize(torch.randn(BATCH, DIM), dim=-1)
    target = torch.arange(BATCH) % len(task)

    def step(encode: Callable[[], Tensor]) -> None:
        texts.context.grad = None
        logits = 100 * images @ nn.functional.normalize(encode(), dim=-1)[:-1].T
        nn.functional.cross_entropy(logits, target).backward()

    def whole() -> Tensor:
        m = texts.context.shape[1]
        embedded = torch.cat(
            [words[:, :1], texts.context.expand(len(words), -1, -1), words[:, 1 : 77 - m]], 1
        )
        return clip.encode_embedded(model, embedded, tokens.argmax(-1) + m)

    return (lambda: step(lambda: texts()[0])), (lambda: step(whole))


def clip_tokenizer() -> Callable[[list[str]], Tensor]:
    """Return open_clip's tokenizer."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=77)


def rows() -> list[dict[str, object]]:
    """Time each pair in alternation."""
    torch.manual_seed(0)
    data = features()
    config = {
        "embed_dim": DIM,
        "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
    }
    model = clip.build(config).eval().requires_grad_(False)
    tokens = clip_tokenizer()(data.task.prompts)
    found = []

    def add(name: str, target: str, note: str, share: float, ours: Callable, peer: Callable, n: int) -> None:
        time = interleaved(ours, peer, n)
        ratio = time["ratio"] * share
        found.append({"name": name, **time, "ratio": ratio, "target": target, "note": note})

    note = "random ViT-B/16; the peer runs both frozen encoders every step, anyone can cache"
    add("adapter step, batch 32", ">= 4000", note, 1, cached_step(data), published_loop(model, tokens), 3)
    note = f"{RUNS} runs side by side against one at a time; ratio per run"
    stacked, plain = trainer(data, range(RUNS)), plain_loop(data)
    add("SCALE epoch on cached features", ">= 5", note, RUNS, stacked, plain, 7)
    ours, peer = coop_steps(model)
    note = "28 labels and the negative, 16 context tokens, images cached on both sides; same gradients"
    add("CoOp step", ">= 3", note, 1, ours, peer, 3)
    return found
