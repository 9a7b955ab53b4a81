"""Calibration for INT8: sets of clean, attacked and purified frames, ranges, Q/DQ, and sensitivity by robustness."""
