/**
 * What travels between the panel and its own server (`/almanac/api/…`).
 * Job, Run and their parts are the job service's own shapes, passed through.
 */

export interface Problem {
  /** Stable name of what went wrong. */
  code: string;
  /** One sentence: what is wrong, and where. */
  title: string;
  /** One sentence: what to do about it. */
  mend?: string;
  /** The input at fault, as a dotted path: `schedule.cron`. */
  field?: string;
  status: number;
}

export interface Parameter {
  name: string;
  type: string;
  default: unknown;
  help: string;
}

export interface Finding {
  code: string;
  severity: string;
  message: string;
  /** Index of the cell in the notebook, from 0. */
  cell: number | null;
  line: number | null;
  mend: string;
}

export interface Project {
  slug: string;
  title: string;
  roles: string[];
  personal: boolean;
}

export interface Schedule {
  cron: string;
  timezone: string;
}

export interface Preview extends Schedule {
  sentence: string;
  next: string[];
}

export type RunState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'skipped';

export interface Run {
  id: string;
  version: number;
  state: RunState;
  reason: string;
  test: boolean;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  progress: { cell: number; cells: number } | null;
  failure: { cell: number | null; ename: string; evalue: string } | null;
  url: string;
}

export interface Job {
  id: string;
  name: string;
  project: string;
  notebook_path: string;
  paused: boolean;
  /** Deleted: only its history is left. */
  archived: boolean;
  schedule: Preview | null;
  parameters: Record<string, unknown>;
  active_version: number | null;
  latest_version: { number: number; state: string };
  last_run: Run | null;
  next_run: string | null;
  url: string;
}

export interface NotebookInfo {
  path: string;
  /** A name for the job, from the file's. */
  name: string;
  kernel: { name: string; language: string; display_name: string };
  parameters: Parameter[];
  findings: Finding[];
  /** The job that this notebook is already, if it is one. */
  job: Job | null;
  /** The project in whose folder the notebook lies. */
  project?: string | null;
  projects: Project[];
  /** Why the job service could not be asked; null when it was. */
  service: Problem | null;
}

export interface Submission {
  path: string;
  name: string;
  project: string | null;
  schedule: Schedule | null;
  run_now: boolean;
  parameters: Record<string, unknown>;
  /** Registers a new version of this job instead of a new job. */
  job_id?: string;
}

/** What the server is doing with a submission, in this order. */
export type Step = 'saving' | 'reading' | 'environment' | 'packing' | 'uploading' | 'registering';
