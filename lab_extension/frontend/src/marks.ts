/**
 * The stable names by which tests find things on the page. They are part of
 * the panel's contract: change one here, and in tests/browser.
 *
 *   toolbar button   `.jp-NotebookPanel-toolbar [data-jp-item-name="productionize"]`,
 *                    by role: button "Productionize"
 *   command          `almanac:productionize`
 *
 * Everything else is `[data-testid="…"]` with the values below. Errors are at
 * `almanac-error-<field>`, inputs at `almanac-field-<field>`, where <field> is
 * the dotted path of the request: `name`, `project`, `schedule.preset`,
 * `schedule.time`, `schedule.weekday`, `schedule.day`, `schedule.cron`,
 * `schedule.timezone`, `parameters.<name>`. Radio buttons:
 * `almanac-field-when-now`, `almanac-field-when-schedule`,
 * `almanac-field-target-version`, `almanac-field-target-job`.
 *
 * A job's card and its rows in the list carry `data-job` (id) and
 * `data-state`: `queued`, `running`, `succeeded`, `failed`, `cancelled`,
 * `skipped`, `paused` or `none`.
 */
export const marks = {
  panel: 'almanac-panel',
  /** Shown where no notebook is in front. */
  empty: 'almanac-empty',
  loading: 'almanac-loading',
  /** The card of the job that this notebook is. */
  job: 'almanac-job',
  state: 'almanac-state',
  /** Link to the job's page; opens a new tab. */
  jobLink: 'almanac-job-link',
  /** Link to the last run's page. */
  runLink: 'almanac-run-link',
  nextRun: 'almanac-next-run',
  /** Said after a submission succeeded. */
  done: 'almanac-done',
  form: 'almanac-form',
  formToggle: 'almanac-form-toggle',
  findings: 'almanac-findings',
  finding: 'almanac-finding',
  sentence: 'almanac-sentence',
  /** One item for each of the next times. */
  next: 'almanac-next',
  parameters: 'almanac-parameters',
  submit: 'almanac-submit',
  /** What went wrong that is about no field. */
  failure: 'almanac-failure',
  /** The job service, or the server, cannot be reached. */
  outage: 'almanac-outage',
  retry: 'almanac-retry',
  jobs: 'almanac-jobs',
  /** One row of the list of jobs. */
  row: 'almanac-jobs-row'
} as const;

export const fieldMark = (field: string): string => `almanac-field-${field}`;
export const errorMark = (field: string): string => `almanac-error-${field}`;
