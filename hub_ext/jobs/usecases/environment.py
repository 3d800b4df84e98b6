"""The environment that a run's kernel is given."""

from __future__ import annotations

from hub_ext.jobs.store.reads import AnyRow
from hub_ext.jobs.usecases.ports import Options
from hub_ext.names import Project, RunKey, TriggerKind


def run_environment(run: AnyRow, options: Options) -> dict[str, str]:
    """What a run's kernel finds in its environment; nothing of it is secret.

    Args:
        run: a row of `reads.run_select`.
    """
    key = RunKey.parse(run.trigger_key)
    home = f"s3://{options.bucket}/{Project(run.project).prefix.rstrip('/')}"
    environment = {
        **options.kernel_environment,
        "ALMANAC_RUN_ID": run.id,
        "ALMANAC_JOB": run.job_name,
        "ALMANAC_PROJECT": run.project,
        "ALMANAC_PROJECT_URI": home,
        "ALMANAC_OUTPUT_URI": f"{home}/outputs",
    }
    if key.kind is TriggerKind.TEST:
        environment |= {"ALMANAC_TEST": "1", "ALMANAC_OUTPUT_URI": f"{home}/test/{run.id}"}
    if key.scheduled_for is not None:
        environment["ALMANAC_SCHEDULED_FOR"] = key.detail
    return environment
