"""BiRD: refer-and-ground records from image-mask pairs, tuning and evaluation."""
