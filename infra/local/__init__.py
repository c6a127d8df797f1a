"""The local AWS and PostgreSQL behind `signalbox up`: real servers on this machine, no account and no Docker."""
