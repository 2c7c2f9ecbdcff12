"""BiRD's architecture (section 4.1, Figure 3): CLIP tower, resampler with trainable queries, language model.

The image's queries stand in for placeholder tokens of the text. The tower is frozen, resampler and language
model are trained (section 4.2); the switch for an unfrozen tower is there because the paper blames the frozen
one for hallucination.
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.model import _build_vision_tower
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, Cache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from gftlib.bird.model_config import BirdConfig
from gftlib.bird.resampler import Resampler
from gftlib.errors import InputError


class BirdModel(PreTrainedModel, GenerationMixin):
    """BiRD: answers about an image, with boxes.

    Args:
        config: Its settings.
    """

    config: BirdConfig
    config_class = BirdConfig
    base_model_prefix = "language_model"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ("ResidualAttentionBlock",)
    _skip_keys_device_placement = ("past_key_values",)

    def __init__(self, config: BirdConfig) -> None:
        """Make the parts with fresh weights."""
        super().__init__(config)
        wanted = config.vision_config
        self.vision = _build_vision_tower(
            wanted["embed_dim"], dict(wanted["vision_cfg"]), wanted.get("quick_gelu", False)
        )
        # Patches are used as the last block leaves them; what makes CLIP's one embedding of them is not.
        self.vision.ln_post, self.vision.proj = nn.Identity(), None
        width = config.text_config.hidden_size
        self.resampler = Resampler(
            config.queries,
            config.grid,
            wanted["vision_cfg"]["width"],
            width,
            max(1, width // config.head_width),
        )
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()
        self.freeze()

    def freeze(self) -> BirdModel:
        """Freeze the vision tower, or not, as the configuration says; train all else."""
        self.requires_grad_(True)
        self.vision.requires_grad_(self.config.train_vision)
        return self

    @classmethod
    def from_pretrained(cls, *args: Any, **options: Any) -> BirdModel:
        """Load a saved model; arguments as transformers'."""
        loaded = super().from_pretrained(*args, **options)
        # With output_loading_info it is a pair.
        (loaded[0] if isinstance(loaded, tuple) else loaded).freeze()
        return loaded

    @property
    def model(self) -> nn.Module:
        """The language model below its head, under the name that transformers' models have for it."""
        return self.language_model.base_model

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding of tokens."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding of tokens."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the head."""
        return self.language_model.get_output_embeddings()

    def _init_weights(self, module: nn.Module) -> None:
        # The tower keeps open_clip's own beginning, the language model transformers'.
        if not any(module is part for part in self.vision.modules()):
            super()._init_weights(module)

    def image_tokens(self, pixel_values: Tensor) -> Tensor:
        """Return (images, queries, width) tokens of (images, 3, side, side) normalised images."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.train_vision):
            seen = self.vision.forward_intermediates(
                pixel_values.to(self.vision.conv1.weight.dtype),
                indices=1,
                intermediates_only=True,
                output_fmt="NLC",
            )
        return self.resampler(seen["image_intermediates"][-1].to(self.resampler.queries.dtype))

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **options: Any,
    ) -> CausalLMOutputWithPast:
        """Read tokens, some of which stand for images.

        Args:
            input_ids: (b, n) tokens; each image is ``config.queries`` placeholders in a row.
            pixel_values: (images, 3, side, side), in the order of the placeholders; once, then in the cache.
            attention_mask: (b, n), or as long as cache and tokens.
            position_ids: (b, n).
            past_key_values: Cache of what was read before.
            use_cache: Return a cache.
            labels: (b, n); -100 is not learnt.
            inputs_embeds: (b, n, width) in place of tokens, without images.
            **options: Passed to the language model, such as ``logits_to_keep``.

        Raises:
            InputError: If the placeholders do not fit the images.
        """
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        if pixel_values is not None:
            inputs_embeds = self._with_images(input_ids, inputs_embeds, pixel_values)
        return self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            labels=labels,
            **options,
        )

    def _with_images(self, input_ids: Tensor | None, embeds: Tensor, pixel_values: Tensor) -> Tensor:
        if input_ids is None:
            raise InputError("images need input_ids: the placeholders tell where they stand")
        there = input_ids == self.config.image_token_id
        wanted = len(pixel_values) * self.config.queries
        if int(there.sum()) != wanted:
            raise InputError(
                f"{len(pixel_values)} images need {wanted} placeholder tokens ({self.config.queries} each), "
                f"found {int(there.sum())}"
            )
        tokens = self.image_tokens(pixel_values).to(embeds.dtype)
        return embeds.masked_scatter(there[..., None], tokens)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, *args: Any, is_first_iteration: bool | None = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Hand the image over once: later steps have it in their cache."""
        inputs = super().prepare_inputs_for_generation(
            input_ids, *args, is_first_iteration=is_first_iteration, **kwargs
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            inputs.pop("pixel_values", None)
        return inputs
