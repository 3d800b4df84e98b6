/** Requests to the parts of this user's own server that are Almanac's: `/almanac/api/…`. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { fromAnswer, ProblemError, unreachable } from './problem.ts';

/**
 * @param path - below `/almanac/api/`, with its query.
 * @param body - sent as JSON by POST; without one it is a GET.
 * @throws ProblemError - always, when there is no answer to give.
 */
export async function request<T>(
  settings: ServerConnection.ISettings,
  path: string,
  body?: unknown
): Promise<T> {
  const init: RequestInit =
    body === undefined
      ? { cache: 'no-store' }
      : {
          method: 'POST',
          body: JSON.stringify(body),
          headers: { 'Content-Type': 'application/json' }
        };
  let response: Response;
  let text: string;
  try {
    const url = URLExt.join(settings.baseUrl, 'almanac', 'api') + '/' + path;
    response = await ServerConnection.makeRequest(url, init, settings);
    text = await response.text();
  } catch {
    throw new ProblemError(unreachable());
  }
  if (!response.ok) {
    throw new ProblemError(fromAnswer(response.status, text));
  }
  try {
    return JSON.parse(text);
  } catch {
    // A sign-in page with status 200, at the end of a redirect.
    throw new ProblemError(fromAnswer(401, text));
  }
}
