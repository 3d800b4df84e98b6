"""Alembic migrations of the job database, from its first form on."""
