"""Classifiers on arrays of features; no Trainer."""
