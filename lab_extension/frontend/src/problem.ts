/** Turning whatever went wrong into a problem that a person can read. Pure. */

import type { Problem } from './wire.ts';

export class ProblemError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.title);
    this.problem = problem;
  }
}

/**
 * The problem told by a refused request.
 *
 * @param status - the HTTP status.
 * @param body - the text of the answer; a problem document, or what a proxy
 *   between here and the server had to say.
 */
export function fromAnswer(status: number, body: string): Problem {
  try {
    const document = JSON.parse(body);
    if (typeof document.code === 'string' && typeof document.title === 'string') {
      return { ...document, status };
    }
  } catch {
    // Not a problem document: a proxy's page, an empty answer.
  }
  if (status === 401 || status === 403) {
    return {
      code: 'signed-out',
      title: 'You are signed out.',
      mend: 'Sign in again in another tab and come back: what you entered here stays.',
      status
    };
  }
  if (status === 404 || status === 502 || status === 503 || status === 504) {
    return { ...unreachable(), status };
  }
  return {
    code: 'bug',
    title: `Something went wrong on your server (${status}).`,
    mend: 'Try again; if it stays, tell whoever runs Almanac here. What you entered stays.',
    status
  };
}

/** The problem of a request that got no answer at all. */
export function unreachable(): Problem {
  return {
    code: 'unreachable',
    title: 'Your server does not answer.',
    mend: 'It may be restarting, or the connection was lost. What you entered stays; try again.',
    status: 0
  };
}

/** Whether asking again later may help, as it is about no input. */
export function passing(problem: Problem): boolean {
  return ['unreachable', 'unavailable', 'signed-out', 'bug'].includes(problem.code);
}

export function asProblem(error: unknown): Problem {
  return error instanceof ProblemError
    ? error.problem
    : {
        code: 'bug',
        title: error instanceof Error ? error.message : String(error),
        status: 0
      };
}

/**
 * The field of the form that a problem is about; the preview endpoint speaks
 * of `cron` where a submission speaks of `schedule.cron`.
 */
export function formField(problem: Problem): string | null {
  if (!problem.field) {
    return null;
  }
  const field = problem.field.replace(/^body\./, '');
  if (field === 'cron' || field === 'timezone') {
    return `schedule.${field}`;
  }
  return field === 'schedule' ? 'schedule.cron' : field;
}
