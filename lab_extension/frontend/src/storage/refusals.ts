/** Errors of reading and writing files, in words for a person. */

import { ServerConnection } from '@jupyterlab/services';

import { fromAnswer, unreachable } from '../problem.ts';
import type { Problem } from '../wire.ts';

/**
 * The error itself where the server has said what is wrong; else, as when a
 * proxy in between has answered, an error of the same kind that says it.
 */
export function explained(error: unknown): Error {
  if (error instanceof ServerConnection.ResponseError) {
    const { response } = error;
    return error.message.startsWith('Invalid response:')
      ? new ServerConnection.ResponseError(response, sentence(problemOf(response.status)))
      : error;
  }
  if (error instanceof ServerConnection.NetworkError) {
    return new ServerConnection.NetworkError(new TypeError(sentence(unreachable())));
  }
  return error instanceof Error ? error : new Error(String(error));
}

function problemOf(status: number): Problem {
  if (status === 404) {
    // Jupyter Server itself, which answers this in plain text.
    return {
      code: 'not-found',
      title: 'It is not there.',
      mend: 'It may have been renamed, moved or deleted meanwhile.',
      status
    };
  }
  return fromAnswer(status, '');
}

function sentence(problem: Problem): string {
  return `${problem.title} ${problem.mend ?? ''}`.trim();
}
