"""The zoo: the drawn world, the sounds, and the small trained weights that belong to the pipelines."""
