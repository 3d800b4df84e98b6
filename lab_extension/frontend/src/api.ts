/** Requests to this user's own server; it forwards what the job service answers. */

import type { ServerConnection } from '@jupyterlab/services';

import { request } from './request.ts';
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

  private request<T>(path: string, body?: unknown): Promise<T> {
    return request(this.settings, path, body);
  }
}
