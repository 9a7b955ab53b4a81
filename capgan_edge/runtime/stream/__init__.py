"""The camera loop: a source captured in its own thread, regions classified in batches, an event for each frame."""
