"""The servers that are measured, each a process: ``python -m tests.bench.servers.NAME PORT``."""
