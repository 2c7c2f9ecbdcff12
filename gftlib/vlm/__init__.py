"""The agent: students, their tuning, and what they answer (GFT, sections 2.5, 3 and 4)."""
