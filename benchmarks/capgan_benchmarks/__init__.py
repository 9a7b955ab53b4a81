"""What was deployed, measured: the demo, accuracy under attack with intervals, latency."""
