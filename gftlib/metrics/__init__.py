"""Scores: classification, grounding, captions, agreement, vessel graphs."""
