"""How alembic reaches the database: over the connection that `Database.upgrade` holds."""

from alembic import context

from hub_ext.jobs.store.tables import metadata

connection = context.config.attributes["connection"]
# SQLite cannot alter most things of a table: alembic copies it instead.
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
