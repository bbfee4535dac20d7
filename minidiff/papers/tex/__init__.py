"""TeX as the pairs write it: read into equations, evaluated on tensors, set for screens."""
