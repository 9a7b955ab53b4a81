"""From a graph of a bundle to a TensorRT engine beside it."""
