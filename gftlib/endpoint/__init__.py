"""One client for any OpenAI-compatible endpoint: teacher, judge, hosted models, captions."""
