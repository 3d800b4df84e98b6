"""What each page shows, as plain data: pure functions of the API's models and ``now``.

A template only places what is here; what it says and in which words is
decided in these modules and in `hub_ext.words`, where it can be tested
without a browser or a service.
"""

from hub_ext.jobs.pages.views.job import JobPage, job_page, notice, strip
from hub_ext.jobs.pages.views.jobs import JobList, job_list, job_row, matches
from hub_ext.jobs.pages.views.run import RunPage, event_text, headline, printed, run_page
from hub_ext.jobs.pages.views.shared import IDLE_SECONDS, LIVE_SECONDS, reason, values
from hub_ext.jobs.pages.views.standing import condition

__all__ = [
    "IDLE_SECONDS",
    "LIVE_SECONDS",
    "JobList",
    "JobPage",
    "RunPage",
    "condition",
    "event_text",
    "headline",
    "job_list",
    "job_page",
    "job_row",
    "matches",
    "notice",
    "printed",
    "reason",
    "run_page",
    "strip",
    "values",
]
