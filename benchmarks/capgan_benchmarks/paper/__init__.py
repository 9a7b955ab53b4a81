"""The paper's tables and figures, one recipe each: train what is missing, attack, and stand ours beside the printed."""
