"""Runs side by side, as `sslfast compare` shows them: one file a part of the comparison."""
