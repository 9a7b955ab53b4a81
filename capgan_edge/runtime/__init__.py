"""The edge runtime: open a bundle, run its graph on frames, give verdicts. Nothing here imports torch."""
