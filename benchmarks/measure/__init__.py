"""Measurement of time and memory, and the machine that they are measured on."""
