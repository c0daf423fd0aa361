"""Clips with the actions that lead from frame to frame."""
