"""Errors that a user can correct, each as one line that says what was wrong, where, and what to do."""

from jepa_lightning.cli.errors.explain import explain
from jepa_lightning.cli.errors.usage import UsageError, explain_usage, unknown_command

__all__ = ["UsageError", "explain", "explain_usage", "unknown_command"]
