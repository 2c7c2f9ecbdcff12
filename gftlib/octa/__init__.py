"""GFT: from an OCTA scan to a vessel graph, a stage, and the attribution that explains it."""
