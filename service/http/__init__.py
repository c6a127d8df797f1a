"""Where bytes arrive: ids, limits, the gate, one error shape, a true OpenAPI document."""
