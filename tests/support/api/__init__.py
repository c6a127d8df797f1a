"""The service in front of a test: in process, as a process, in a browser."""
