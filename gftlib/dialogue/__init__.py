"""From explanation to words: questions, answers, and the teachers that make them (GFT, section 2.4)."""
