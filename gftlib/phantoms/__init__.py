"""Synthetic cohorts with exact ground truth."""
