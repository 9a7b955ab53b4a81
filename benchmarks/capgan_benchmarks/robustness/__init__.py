"""`capgan-edge benchmark robustness`: what a defence and its shipped files hold, per threat model, and how it is known."""
