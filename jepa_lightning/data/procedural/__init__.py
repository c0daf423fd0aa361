"""Images and videos that are computed, without a download."""
