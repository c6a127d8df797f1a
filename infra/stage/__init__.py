"""What a stage is: its record, its names, the outputs of its stacks."""
