"""Export: fuse purifier and victim into one graph, hold it against torch, write the bundle, verify it later."""
