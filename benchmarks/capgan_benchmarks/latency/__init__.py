"""How fast: what ships, the classifier alone, and what could be taken instead, timed in rounds in one run."""
