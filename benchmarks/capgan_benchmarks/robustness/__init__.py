"""`capgan-edge benchmark robustness`: what a defence and the files that ship hold, per threat model."""
