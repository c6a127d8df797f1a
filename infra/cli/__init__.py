"""The signalbox command, a file for each group of commands."""
