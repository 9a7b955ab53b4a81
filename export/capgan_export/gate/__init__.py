"""The gate: numeric, task and robustness checks of an artifact against its FP32 twin, and the card that says so."""
