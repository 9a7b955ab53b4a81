"""Threat models by name, one a file: who makes the gradient, who is scored, and what the attacker knows."""
