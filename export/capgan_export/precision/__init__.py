"""Precision passes: from the FP32 graph to graphs with other types inside, and the probe that they stay finite."""
