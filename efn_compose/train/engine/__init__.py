"""What both ways to train share: the optimizer step and placement on devices."""
