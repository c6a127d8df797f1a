"""Schema changes. ``python -m migrations upgrade`` applies them; several replicas may do so at once."""
