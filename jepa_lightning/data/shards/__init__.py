"""Samples in shards, which stream from a disk or an object store."""
