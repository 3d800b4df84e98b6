"""What can be asked of the job service, and by whom: all rules live here.

`Jobs` holds what people, servers and runs ask for; the principal comes first
in every method. `Execution` holds what the service itself does to keep runs
going; only `hub_ext.jobs.reconcile` calls it.
"""

from hub_ext.jobs.usecases.execution import Execution
from hub_ext.jobs.usecases.jobs import Jobs
from hub_ext.jobs.usecases.ports import Options
from hub_ext.jobs.usecases.results import RunFile

__all__ = ["Execution", "Jobs", "Options", "RunFile"]
