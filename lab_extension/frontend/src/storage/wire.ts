/** What travels between the file browser and `/almanac/api/storage/…`; times as ISO 8601, UTC. */

import type { Problem } from '../wire.ts';

/** What can be done with a path. */
export interface Info {
  path: string;
  kind: 'disk' | 'object';
  /** The folder that the path's store begins at; null at the top. */
  root: string | null;
  writable: boolean;
  uri: string | null;
  /** Whether the store keeps what is overwritten and deleted. */
  versions: boolean;
  share: Offer;
}

export interface Offer {
  allowed: boolean;
  /** Seconds, ascending. */
  choices: number[];
  default: number | null;
  /** A sentence for the person who shares; may be empty. */
  note?: string;
}

/** Lines that read a file. */
export interface Snippet {
  id: string;
  label: string;
  language: string;
  code: string;
}

export interface Link {
  url: string;
  expires: string;
}

export interface Version {
  version: string;
  modified: string;
  size: number;
  latest: boolean;
  /** The file was deleted here: there is no content. */
  deleted: boolean;
  /** Where it opens, read-only; null where there is nothing to open. */
  path: string | null;
}

/** A page of a list; `next` is given as `after` for the one behind it. */
export interface Page<Item> {
  items: Item[];
  versions: boolean;
  next: string | null;
}

export interface Deleted {
  path: string;
  name: string;
  version: string;
  size: number;
  deleted_at: string;
  recoverable_until: string | null;
}

/** What lies in a root. */
export interface Usage {
  root: string;
  title: string;
  /** Bytes; null before it was counted for the first time. */
  size: number | null;
  objects: number | null;
  /** Bytes; null where there is no limit. */
  limit: number | null;
  writable: boolean;
  as_of: string | null;
  counting: boolean;
  problem: Problem | null;
}
