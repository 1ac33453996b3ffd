"""The segmentation workload: which pixels of a head CT bleed; masks, networks, Dice and boundary scores."""
