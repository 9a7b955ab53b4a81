"""Calibration for INT8: sets of clean, attacked and purified frames. Empty until the quantiser lands."""
