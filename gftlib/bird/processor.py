"""From images and text to BiRD's inputs: a placeholder in the text becomes as many as an image has tokens."""

from __future__ import annotations

from typing import Any

from transformers import CLIPImageProcessor, ProcessorMixin
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, PILImageResampling

from gftlib.bird.model_config import IMAGE_TOKEN

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}{% if part.type == 'image' %}"
    "Picture 1: <img>" + IMAGE_TOKEN + "</img>\n{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def image_processor(side: int = 448) -> CLIPImageProcessor:
    """Return BiRD's image processor: the whole image, bicubic to a square, CLIP's mean and deviation.

    The square keeps boxes right: they are shares of width and height.

    Args:
        side: Side of the square, pixels.
    """
    return CLIPImageProcessor(
        size={"height": side, "width": side},
        resample=PILImageResampling.BICUBIC,
        do_center_crop=False,
        do_convert_rgb=True,
        image_mean=OPENAI_CLIP_MEAN,
        image_std=OPENAI_CLIP_STD,
    )


class BirdProcessor(ProcessorMixin):
    """Images and text as `gftlib.bird.model.BirdModel` takes them.

    Args:
        image_processor: See `image_processor`.
        tokenizer: Knows `gftlib.bird.model_config.SPECIAL_TOKENS`.
        queries: Tokens of an image.
        chat_template: Jinja template of a conversation.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        queries: int = 256,
        chat_template: str | None = CHAT_TEMPLATE,
        **kwargs: Any,
    ) -> None:
        """Take the parts."""
        self.queries = queries
        self.image_token = IMAGE_TOKEN
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **kwargs: Any) -> str:
        """Return what stands for one image in the text."""
        return self.image_token * self.queries
