"""The baselines of the paper, behind the same image-to-image interface. Empty until they land."""
