"""Networks: the purifier and its presets, the discriminator, the attention between them, the victim."""
