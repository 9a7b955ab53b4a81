"""Training: losses, the CAP-GAN loop, the victim's loop, checkpoints, logs."""
