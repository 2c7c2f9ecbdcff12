"""SCALE: adapters on frozen vision-language encoders, their losses, baselines and protocol."""
