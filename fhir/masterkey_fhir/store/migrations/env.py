"""How Alembic runs here: on the connection it is handed, inside the transaction that the lease opened."""

from alembic import context

from masterkey_fhir.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=False,
)
with context.begin_transaction():
    context.run_migrations()
