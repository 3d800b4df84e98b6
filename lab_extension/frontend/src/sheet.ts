/** What the panel holds about one notebook, and the decisions on it. Pure. */

import { collect, write } from './parameters.ts';
import type { Raw } from './parameters.ts';
import { formField } from './problem.ts';
import { defaultChoice, fromCron, toCron } from './schedule.ts';
import type { ScheduleChoice } from './schedule.ts';
import type { Job, NotebookInfo, Preview, Problem, Step, Submission } from './wire.ts';

/** What a person has entered; it lives until it is submitted. */
export interface Draft {
  /** A new job, or a new version of the one that this notebook is. */
  target: 'job' | 'version';
  name: string;
  project: string | null;
  when: 'now' | 'schedule';
  schedule: ScheduleChoice;
  parameters: Record<string, Raw>;
}

export interface Sheet {
  path: string;
  /** Null until the server has read the notebook for the first time. */
  info: NotebookInfo | null;
  loading: boolean;
  /** Why the notebook cannot be read, or not be saved. */
  refusal: Problem | null;
  draft: Draft | null;
  preview: Preview | null;
  previewing: boolean;
  /** Why the schedule could not be previewed, if it is not the schedule's own fault. */
  previewFailure: Problem | null;
  /** What is wrong, by field of the form. */
  errors: Record<string, Problem>;
  /** What went wrong that is about no field. */
  failure: Problem | null;
  step: Step | null;
  /** Just submitted: says so until something else is done. */
  done: 'job' | 'version' | null;
  /** Whether the form is open; it closes once it has done its work. */
  open: boolean;
}

export function blank(path: string): Sheet {
  return {
    path,
    info: null,
    loading: false,
    refusal: null,
    draft: null,
    preview: null,
    previewing: false,
    previewFailure: null,
    errors: {},
    failure: null,
    step: null,
    done: null,
    open: true
  };
}

/** The form as it is first shown: what most people want, ready to be sent. */
export function firstDraft(info: NotebookInfo, timezone: string): Draft {
  const job = info.job;
  const own =
    info.projects.find(project => project.slug === info.project) ??
    info.projects.find(project => project.personal) ??
    info.projects[0];
  return {
    target: job ? 'version' : 'job',
    name: job ? freshName(info.name, job.name) : info.name,
    project: job?.project ?? own?.slug ?? null,
    when: job && !job.schedule ? 'now' : 'schedule',
    schedule: job?.schedule
      ? fromCron(job.schedule.cron, job.schedule.timezone)
      : defaultChoice(timezone),
    parameters: parametersOf(info)
  };
}

/** A suggestion for a second job of the same notebook. */
export function freshName(suggested: string, taken: string): string {
  return suggested === taken ? `${suggested} 2` : suggested;
}

function parametersOf(info: NotebookInfo): Record<string, Raw> {
  return Object.fromEntries(
    info.parameters.map(parameter => [
      parameter.name,
      write(
        parameter,
        info.job && parameter.name in info.job.parameters
          ? info.job.parameters[parameter.name]
          : parameter.default
      )
    ])
  );
}

/**
 * The draft after the notebook was read again: what a person changed stays,
 * and what they left alone follows the notebook.
 */
export function carryOver(draft: Draft, before: NotebookInfo, after: NotebookInfo): Draft {
  const [old, fresh] = [parametersOf(before), parametersOf(after)];
  for (const name of Object.keys(fresh)) {
    if (name in draft.parameters && draft.parameters[name] !== old[name]) {
      fresh[name] = draft.parameters[name];
    }
  }
  const projects = after.projects.map(project => project.slug);
  const known = draft.project !== null && projects.includes(draft.project);
  return {
    ...draft,
    target: after.job ? draft.target : 'job',
    project: known || after.service ? draft.project : firstDraft(after, '').project,
    parameters: fresh
  };
}

/** Findings that stop a submission. */
export function blockers(info: NotebookInfo): number {
  return info.findings.filter(finding => finding.severity === 'error').length;
}

/** What to send, or what is wrong with what was entered, by field. */
export function submission(
  draft: Draft,
  info: NotebookInfo
): { body: Submission } | { errors: Record<string, Problem> } {
  const errors: Record<string, Problem> = {};
  const refuse = (field: string, title: string) => {
    errors[field] = { code: 'invalid', title, field, status: 422 };
  };
  if (draft.target === 'job' && !draft.name.trim()) {
    refuse('name', 'Give the job a name.');
  }
  const cron = toCron(draft.schedule);
  if (draft.when === 'schedule' && !cron) {
    refuse(
      draft.schedule.preset === 'cron' ? 'schedule.cron' : 'schedule.time',
      draft.schedule.preset === 'cron'
        ? 'Give the five fields of a schedule, such as 0 6 * * 1-5.'
        : 'Give a time of day, such as 06:00.'
    );
  }
  if (draft.when === 'schedule' && !draft.schedule.timezone.trim()) {
    refuse('schedule.timezone', 'Give a time zone, such as Europe/Paris.');
  }
  const { values, errors: ill } = collect(info.parameters, draft.parameters);
  for (const [field, message] of Object.entries(ill)) {
    refuse(field, message);
  }
  if (Object.keys(errors).length) {
    return { errors };
  }
  return {
    body: {
      path: info.path,
      name: draft.target === 'version' && info.job ? info.job.name : draft.name.trim(),
      project: draft.project,
      schedule:
        draft.when === 'schedule' ? { cron, timezone: draft.schedule.timezone.trim() } : null,
      run_now: draft.when === 'now',
      parameters: values,
      ...(draft.target === 'version' && info.job ? { job_id: info.job.id } : {})
    }
  };
}

/** The field of this form at which a problem is shown; null: above the button. */
export function place(problem: Problem, draft: Draft, info: NotebookInfo): string | null {
  const field = formField(problem);
  const shown = [
    ...(draft.target === 'job' ? ['name', 'project'] : []),
    ...(draft.when === 'schedule' ? ['schedule.cron', 'schedule.timezone'] : []),
    ...info.parameters.map(parameter => `parameters.${parameter.name}`)
  ];
  return field !== null && shown.includes(field) ? field : null;
}

/** Jobs with one that is known better, newest knowledge first in order kept. */
export function merge(jobs: Job[], job: Job): Job[] {
  return jobs.some(other => other.id === job.id)
    ? jobs.map(other => (other.id === job.id ? job : other))
    : [job, ...jobs];
}
