"""Drills: what callers see while something fails. ``pytest -m faults`` runs their long forms, one by name or all."""
