"""The command line."""

from jepa_lightning.cli.main import main

__all__ = ["main"]
