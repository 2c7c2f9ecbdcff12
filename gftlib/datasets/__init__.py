"""Readers of the public sets, with checks that say what is missing or malformed."""
