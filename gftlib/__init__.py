"""Expert structure as supervision for medical vision-language models: GFT, SCALE and BiRD, reproduced."""

__version__ = "0.1.0"
