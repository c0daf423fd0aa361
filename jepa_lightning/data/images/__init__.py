"""Images on the disk and from torchvision."""
