"""Videos on the disk."""
