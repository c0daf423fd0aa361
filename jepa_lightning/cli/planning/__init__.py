"""What ``jepa-lightning plan`` is made of."""
