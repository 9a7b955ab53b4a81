"""Endurance of what ships: minutes of camera and load (`soak`), and every fault that can be made here (`faults`)."""
