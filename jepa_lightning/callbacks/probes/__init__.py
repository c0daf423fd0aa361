"""Probes of features while a module trains."""
