"""Schema changes. ``alembic upgrade head`` applies them; several replicas may do so at once."""
