"""How time and memory are measured, and on what machine."""
