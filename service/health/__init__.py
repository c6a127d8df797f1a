"""Whether the process lives, may be sent requests, and which build it is."""
