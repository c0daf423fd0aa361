"""What ``jepa-lightning evaluate`` is made of."""
