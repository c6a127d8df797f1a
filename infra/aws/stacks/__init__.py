"""The stacks: they wire constructs and declare outputs, nothing else."""
