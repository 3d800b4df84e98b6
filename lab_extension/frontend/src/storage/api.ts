/** What the file browser asks of its own server about object storage. */

import type { Contents, ServerConnection } from '@jupyterlab/services';

import { request } from '../request.ts';
import type { Deleted, Info, Link, Page, Snippet, Usage, Version } from './wire.ts';

export class StorageApi {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  info(path: string): Promise<Info> {
    return this.get('info', { path });
  }

  /** The same, asked by the page itself: that is no sign of a person. */
  infoUnasked(path: string): Promise<Info> {
    return this.get('info', { path, no_track_activity: '1' });
  }

  async code(path: string): Promise<Snippet[]> {
    return (await this.get<{ items: Snippet[] }>('code', { path })).items;
  }

  share(path: string, seconds: number): Promise<Link> {
    return this.post('share', { path, seconds });
  }

  /** Newest first. */
  versions(path: string, after: string | null): Promise<Page<Version>> {
    return this.get('versions', { path, after: after ?? '' });
  }

  restore(path: string, version: string): Promise<Contents.IModel> {
    return this.post('restore', { path, version });
  }

  /** Below a folder, newest first. */
  deleted(path: string, after: string | null): Promise<Page<Deleted>> {
    return this.get('deleted', { path, after: after ?? '' });
  }

  /** The paths that are there again. */
  async undelete(items: { path: string; version: string }[]): Promise<string[]> {
    return (await this.post<{ restored: string[] }>('undelete', { items })).restored;
  }

  async usage(): Promise<Usage[]> {
    return (await this.get<{ roots: Usage[] }>('usage', {})).roots;
  }

  private get<T>(name: string, query: Record<string, string>): Promise<T> {
    return request(this.settings, `storage/${name}?${new URLSearchParams(query)}`);
  }

  private post<T>(name: string, body: unknown): Promise<T> {
    return request(this.settings, `storage/${name}`, body);
  }
}
