"""Self-supervised pre-training of vision encoders, made fast.

`sslfast.kernels` are the fused ops, usable on their own; the `sslfast` command runs the trainer around them.
"""

__version__ = "0.1.0"
