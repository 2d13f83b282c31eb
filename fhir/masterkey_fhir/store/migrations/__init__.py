"""Alembic migrations of the repository, run from code (masterkey_fhir.store.engine.upgrade)."""
