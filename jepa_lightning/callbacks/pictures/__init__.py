"""Pictures while training: what a method sees, what its tokens hold, and what it finds alike or unexpected."""
