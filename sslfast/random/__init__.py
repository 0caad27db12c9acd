"""Random numbers by (seed, epoch, sample, stream) alone, on the host and on the device; torch's generators."""
