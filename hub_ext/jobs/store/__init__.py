"""The job service's database: its tables, its transactions, and what is asked of it.

Rules live in `hub_ext.jobs.usecases`; here is what is kept and how.
"""

from hub_ext.jobs.store.database import Database, insert_once
from hub_ext.jobs.store.ids import new_id

__all__ = ["Database", "insert_once", "new_id"]
