"""The tables, as the newest migration leaves them.

A change here needs a migration in `hub_ext/jobs/migrations/versions`; a test
compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    literal_column,
    text,
)

from hub_ext.jobs.store.ids import LENGTH

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An instant: UTC in the database and in Python, whatever the database thinks of zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Id = String(LENGTH)
Sha256 = String(64)
Actor = String(300)

bundles = Table(
    "bundles",
    metadata,
    Column("sha256", Sha256, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("manifest", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
)

# Who uploaded what: knowing a hash, which every member of a project can read,
# is not enough to make a job of somebody else's bundle.
uploads = Table(
    "uploads",
    metadata,
    Column("sha256", Sha256, ForeignKey("bundles.sha256"), primary_key=True),
    Column("uploaded_by", Actor, primary_key=True),
    Column("created_at", Instant, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("notebook_path", Text, nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Actor, nullable=False),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("archived_at", Instant),
    Column("cron", String(200)),
    Column("timezone", String(100)),
    Column("parameters", JSON, nullable=False),
    Column("active_version", Integer),
    # The next tick that is not claimed yet; null while there is none to wait for.
    Column("next_due", Instant),
    Index("ix_jobs_project_id", "project", "id"),
    Index("ix_jobs_next_due", "next_due"),
)
# A name is free again once its job is archived.
Index(
    "uq_jobs_project_name",
    jobs.c.project,
    jobs.c.name,
    unique=True,
    sqlite_where=text("archived_at IS NULL"),
    postgresql_where=text("archived_at IS NULL"),
)

versions = Table(
    "versions",
    metadata,
    Column("job_id", Id, ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("bundle_sha256", Sha256, ForeignKey("bundles.sha256"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Actor, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    # What the notebook declares: a list of hub_ext.bundles.spec.Parameter.
    Column("declared", JSON, nullable=False),
    # What becomes the job's own when this version is activated; null leaves it.
    Column("parameters", JSON(none_as_null=True)),
    Column("notebook_path", Text),
    Column("cron", String(200)),
    Column("timezone", String(100)),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("trigger_key", String(260), nullable=False),
    Column("requested_by", Actor, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("parameters", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("cancel_requested_by", Actor),
    # {"cell", "cells"}, {"cell", "ename", "evalue", "traceback"}, [{"name", "size"}]
    Column("progress", JSON(none_as_null=True)),
    Column("failure", JSON(none_as_null=True)),
    Column("files", JSON(none_as_null=True)),
    # The attempt whose results were published.
    Column("published", Integer),
    UniqueConstraint("job_id", "trigger_key"),
    ForeignKeyConstraint(["job_id", "version"], ["versions.job_id", "versions.number"]),
    Index("ix_runs_job_id_id", "job_id", "id"),
)
# The loop looks at what has not ended, every second: a small index of its own.
Index(
    "ix_runs_open",
    runs.c.id,
    sqlite_where=text("state IN ('queued', 'running')"),
    postgresql_where=text("state IN ('queued', 'running')"),
)

# The same condition as the index's, in constants: with bound values neither
# SQLite nor PostgreSQL can know that the index covers it.
IS_OPEN = runs.c.state.in_([literal_column("'queued'"), literal_column("'running'")])

attempts = Table(
    "attempts",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("fence", Integer, nullable=False),
    # Until then the attempt is the business of the service that started it.
    Column("lease_until", Instant, nullable=False),
    Column("backend_ref", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("exit_code", Integer),
    Column("message", Text, nullable=False, server_default=""),
    UniqueConstraint("run_id", "fence"),
)

run_tokens = Table(
    "run_tokens",
    metadata,
    Column("sha256", Sha256, primary_key=True),
    Column("run_id", Id, nullable=False, index=True),
    Column("n", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    ForeignKeyConstraint(["run_id", "n"], ["attempts.run_id", "attempts.n"]),
)

# Append-only: nothing in the product changes or deletes a row.
audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("principal", Actor, nullable=False),
    Column("action", String(60), nullable=False),
    Column("job_id", Id),
    Column("run_id", Id),
    Column("detail", JSON, nullable=False),
    Index("ix_audit_job_id_id", "job_id", "id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("principal", Actor, primary_key=True),
    Column("operation", String(200), primary_key=True),
    Column("key", String(200), primary_key=True),
    # Of the request: the same key with another request is a mistake.
    Column("request_sha256", Sha256, nullable=False),
    Column("result", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
)
