"""Speed beside well-kept peers; run by `make bench`."""
