"""Databases as RDS presents them: made and migrated by a master that is no superuser."""
