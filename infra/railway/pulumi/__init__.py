"""The Railway side for teams that run Pulumi: the same client, the same plan, as dynamic resources."""
