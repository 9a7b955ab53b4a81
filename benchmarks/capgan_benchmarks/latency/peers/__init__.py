"""What the fused graph is timed against: the same pair otherwise, and other defences before the same classifier."""
