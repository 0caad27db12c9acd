"""The pipeline of photographs: NVIDIA DALI reads, decodes and crops them."""
