"""The tables of MNCL's paper, in small on a CPU or as published on a GPU."""
