"""What every command leans on: child processes that die with us, pinned tools, progress, failures."""
