"""What a student answers: batched decoding, all questions of an image for one pass over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from gftlib.errors import InputError
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import Batch, Example, encode
from gftlib.vlm.shared_prefix import image_view, model_positions, run_prefix

Progress = Callable[[int, int], None]


def answer(
    student: Student,
    examples: Sequence[Example],
    *,
    images: int = 8,
    longest: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[tuple[str, ...]]:
    """Answer questions about images, from the images alone.

    Args:
        student: The model.
        examples: Images and questions; answers are not looked at.
        images: Images at once.
        longest: Most tokens of an answer.
        temperature: 0 takes the likeliest token; the paper's public code samples at 0.5.
        seed: Of sampling.
        progress: Called with (done, total) images.

    Returns:
        The answers of each example, in the order of its questions.

    Raises:
        InputError: If a setting is out of range.
        MissingError: If an image is not there.
    """
    if images < 1 or longest < 1 or temperature < 0:
        raise InputError("images and longest must be at least 1, temperature at least 0")
    found: list[tuple[str, ...]] = []
    student.model.eval()
    device = next(student.model.parameters()).device
    for start in range(0, len(examples), images):
        part = [
            Example(e.image, e.questions, background=e.background) for e in examples[start : start + images]
        ]
        batch = encode(student, part).to(device)
        generator = torch.Generator(device).manual_seed(seed + start)
        texts = iter(_decode(student, batch, longest, temperature, generator))
        found += [tuple(next(texts) for _ in example.questions) for example in part]
        if progress is not None:
            progress(len(found), len(examples))
    return found


@torch.inference_mode()
def _decode(
    student: Student, batch: Batch, longest: int, temperature: float, generator: torch.Generator
) -> list[str]:
    """Write an answer behind each branch of a batch."""
    tokenizer = student.processor.tokenizer
    written = torch.full((len(batch.ids), longest), tokenizer.pad_token_id, device=batch.ids.device)
    for column, rows, token in _tokens(student, batch, longest, temperature, generator):
        written[rows, column] = token
    return [text.strip() for text in tokenizer.batch_decode(written, skip_special_tokens=True)]


def _tokens(
    student: Student, batch: Batch, longest: int, temperature: float, generator: torch.Generator
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield column, rows and tokens; a row that has ended takes no further part."""
    model, owner = student.model, batch.owner
    prefix = run_prefix(model, batch.prefix)
    cache, after = prefix.cache_of(owner), prefix.after
    seen = torch.cat([prefix.seen[owner], batch.mask], 1)
    lengths = batch.mask.sum(1)
    steps = after[owner, None] + torch.arange(batch.ids.shape[1], device=owner.device)
    rows, ids, last = torch.arange(len(owner), device=owner.device), batch.ids, lengths - 1
    following = after[owner] + lengths
    ends = torch.tensor(_ends(student), device=owner.device)
    for column in range(longest):
        logits = model(
            input_ids=ids,
            attention_mask=seen,
            position_ids=model_positions(model, steps),
            past_key_values=cache,
            use_cache=True,
            **image_view(batch.prefix, owner, ids.shape[1]),
        ).logits[torch.arange(len(rows), device=rows.device), last]
        token = _chosen(logits.float(), temperature, generator)
        alive = ~torch.isin(token, ends)
        yield column, rows[alive], token[alive]
        if not alive.any():
            return
        if not alive.all():
            kept = alive.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            rows, owner, token, seen, following = (t[kept] for t in (rows, owner, token, seen, following))
        ids, last = token[:, None], torch.zeros_like(token)
        seen = torch.cat([seen, torch.ones_like(ids)], 1)
        steps, following = following[:, None], following + 1


def _chosen(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]


def _ends(student: Student) -> list[int]:
    """Return the tokens that end an answer."""
    configured = student.model.config.get_text_config().eos_token_id
    configured = configured if isinstance(configured, list) else [configured]
    return sorted({student.processor.tokenizer.eos_token_id, *(i for i in configured if i is not None)})
