"""Random numbers that depend on (seed, epoch, sample, stream) alone, on the host and on the device."""
