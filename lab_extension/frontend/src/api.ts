/** Requests to this user's own server; it forwards what the job service answers. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { fromAnswer, ProblemError, unreachable } from './problem.ts';
import type { Job, NotebookInfo, Preview, Run, Schedule, Step, Submission } from './wire.ts';

export class Api {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  notebook(path: string): Promise<NotebookInfo> {
    return this.request(`notebook?path=${encodeURIComponent(path)}`);
  }

  /**
   * @param id - names this submission: sent again under the same id, it is
   *   still made only once.
   */
  productionize(id: string, submission: Submission): Promise<Job> {
    return this.request(`productionize?submission=${id}`, submission);
  }

  /** What the server does with a submission now; null before and after. */
  async step(id: string): Promise<Step | null> {
    return (await this.request<{ step: Step | null }>(`progress/${id}`)).step;
  }

  preview(schedule: Schedule): Promise<Preview> {
    return this.request('jobs/schedules/preview', schedule);
  }

  async jobs(limit: number): Promise<Job[]> {
    return (await this.request<{ items: Job[] }>(`jobs/jobs?limit=${limit}`)).items;
  }

  job(id: string): Promise<Job> {
    return this.request(`jobs/jobs/${encodeURIComponent(id)}`);
  }

  /** The newest runs of a job. */
  async runs(id: string, limit: number): Promise<Run[]> {
    const path = `jobs/jobs/${encodeURIComponent(id)}/runs?limit=${limit}`;
    return (await this.request<{ items: Run[] }>(path)).items;
  }

  /** @throws ProblemError - always, when there is no answer to give. */
  private async request<T>(path: string, body?: unknown): Promise<T> {
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
      const url = URLExt.join(this.settings.baseUrl, 'almanac', 'api') + '/' + path;
      response = await ServerConnection.makeRequest(url, init, this.settings);
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
}
