"""What the ranks of a run exchange in a step: counted, timed beside plain DDP, computed for many ranks."""
