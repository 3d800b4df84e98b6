/**
 * How JupyterLab reads and writes files: as its own content provider does, and
 * in object storage on the condition that nobody else has written meanwhile.
 */

import { URLExt } from '@jupyterlab/coreutils';
import { Contents, RestContentProvider, ServerConnection } from '@jupyterlab/services';
import { UUID } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';

import { Bases } from './bases.ts';
import type { Hash } from './bases.ts';
import { explained } from './refusals.ts';
import { Uploads } from './uploads.ts';

/** What a person decides about a file that somebody else has written. */
export type Choice = 'overwrite' | 'revert' | 'cancel';

export interface Resolver {
  /** Ask whose version to keep. */
  choose(path: string): Promise<Choice>;
  /** Load what is stored into the document that could not be saved; its model. */
  revert(path: string, type: string | undefined): Promise<Contents.IModel>;
  /** Whether a person is being asked something now. */
  asking(): boolean;
}

/** A listing of a folder, or why there is none. */
export interface Listing {
  path: string;
  error: Error | null;
}

type Options = Partial<Contents.IModel> & { contentProviderId?: string };

/** Milliseconds in which Lab's question after a save has come: it follows at once. */
const QUESTION = 1000;

const ENDPOINT = 'api/contents';

class Changed extends ServerConnection.ResponseError {}

export class StorageProvider extends RestContentProvider {
  constructor(private readonly settings: ServerConnection.ISettings) {
    super({ apiEndpoint: ENDPOINT, serverSettings: settings });
  }

  /** Who asks the person; set once Lab's own parts are there. */
  resolver: Resolver | null = null;

  /** Told after each listing of a folder. */
  readonly listed = new Signal<this, Listing>(this);

  /** Told when a file could not be uploaded. */
  readonly uploadFailed = new Signal<this, Error>(this);

  async get(path: string, asked?: Contents.IFetchOptions): Promise<Contents.IModel> {
    // Which of the browser's providers it is does not concern the server.
    const { contentProviderId: _, ...options } = asked ?? {};
    const compares = options.content === false && options.hash === true;
    if (compares) {
      const written = this.bases.answer(path);
      if (written) {
        return written;
      }
      if (this.open.has(path)) {
        throw duplicate();
      }
    }
    const asking = this.resolver?.asking() ?? false;
    try {
      const model = await super.get(path, asked && options);
      if (compares) {
        this.compared(path, baseOf(model), { asking });
      } else if (model.type === 'directory') {
        this.listed.emit({ path, error: null });
      }
      return model;
    } catch (error) {
      const refusal = explained(error);
      if (options.content === false && statusOf(refusal) === 404) {
        // `Save as…` asks without a hash whether there is such a file.
        this.compared(path, null, { asking, passing: !compares });
      } else if (options.content === true && !options.type) {
        this.listed.emit({ path, error: refusal });
      }
      throw refusal;
    }
  }

  async save(path: string, options: Options = {}): Promise<Contents.IModel> {
    const { contentProviderId: _, ...model } = options;
    // Lab's uploads alone have this key; it is undefined for what goes in one piece.
    if ('chunk' in model) {
      try {
        return await this.upload(path, model, model.chunk);
      } catch (error) {
        this.uploadFailed.emit(error as Error);
        throw error;
      }
    }
    const base = this.bases.take(path);
    try {
      return await this.put(path, model, base);
    } catch (error) {
      if (base === undefined || !(error instanceof Changed) || !this.resolver) {
        throw error;
      }
      return this.settle(path, model, this.resolver);
    }
  }

  /** This page has renamed what was at that path, or something to it. */
  moved(path: string): void {
    this.bases.forget(path);
  }

  /** This page has deleted the file at that path: what it saves there next is a new one. */
  deleted(path: string): void {
    this.bases.forget(path);
    this.compared(path, null, { asking: false, passing: true });
  }

  private async upload(
    path: string,
    model: Options,
    chunk: number | undefined
  ): Promise<Contents.IModel> {
    if (chunk === undefined) {
      return this.put(path, model, undefined);
    }
    const id = this.uploads.of(path, chunk, Date.now());
    let ended = true;
    try {
      const answer = await this.put(path, { ...model, upload: id } as Options, undefined);
      ended = chunk === -1;
      return answer;
    } finally {
      if (ended) {
        this.uploads.ended(path, id);
      }
    }
  }

  /** Somebody wrote between Lab's comparison and its save: ask, as Lab would have. */
  private async settle(path: string, model: Options, resolver: Resolver): Promise<Contents.IModel> {
    if (this.open.has(path)) {
      throw duplicate();
    }
    this.open.add(path);
    try {
      for (;;) {
        const newest = await this.newest(path);
        const choice = await resolver.choose(path);
        if (choice === 'revert') {
          const loaded = await resolver.revert(path, model.type);
          this.wrote(path, loaded);
          return loaded;
        }
        if (choice === 'cancel') {
          throw named('ModalCancelError', 'Cancel');
        }
        try {
          return await this.put(path, model, newest);
        } catch (error) {
          // Written once more while the question was open: that version
          // nobody has agreed to overwrite.
          if (!(error instanceof Changed)) {
            throw error;
          }
        }
      }
    } finally {
      this.open.delete(path);
    }
  }

  private async newest(path: string): Promise<Hash | undefined> {
    try {
      return baseOf(await super.get(path, { content: false, hash: true }));
    } catch (error) {
      if (statusOf(error) === 404) {
        return null;
      }
      throw explained(error);
    }
  }

  private async put(
    path: string,
    model: Options,
    base: Hash | undefined
  ): Promise<Contents.IModel> {
    const { settings } = this;
    const url = URLExt.join(settings.baseUrl, ENDPOINT, URLExt.encodeParts(path));
    const body = JSON.stringify(base === undefined ? model : { ...model, base_hash: base });
    const file = new File([body], 'data.json', { type: 'application/json' });
    const init = { method: 'PUT', body: file };
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, settings);
    } catch (error) {
      throw explained(error);
    }
    if (response.status !== 200 && response.status !== 201) {
      const reason = response.status === 409 ? await reasonOf(response.clone()) : '';
      const error = await ServerConnection.ResponseError.create(response);
      throw reason === 'changed' ? new Changed(response, error.message) : explained(error);
    }
    const answer: Contents.IModel = await response.json();
    Contents.validateContentsModel(answer);
    if (!('chunk' in model) && typeof baseOf(answer) === 'string') {
      this.wrote(path, answer);
    }
    return answer;
  }

  private wrote(path: string, model: Contents.IModel): void {
    this.bases.wrote(path, model);
    setTimeout(() => this.bases.settled(path, model), QUESTION);
  }

  private compared(
    path: string,
    hash: Hash | undefined,
    how: { asking: boolean; passing?: boolean }
  ): void {
    if (hash === undefined) {
      this.bases.forget(path);
      return;
    }
    this.bases.compared(path, hash, how);
    // What Lab does with the answer follows in microtasks; a timer comes after.
    setTimeout(() => this.bases.turned(path), 0);
  }

  private readonly bases = new Bases<Contents.IModel>();
  private readonly uploads = new Uploads(UUID.uuid4);
  /** The paths that a person is being asked about. */
  private readonly open = new Set<string>();
}

/** The hash that a save can be made to depend on; files on disk have none. */
function baseOf(model: Contents.IModel): string | undefined {
  return model.hash_algorithm === 'etag' && model.hash ? model.hash : undefined;
}

function statusOf(error: unknown): number {
  return error instanceof ServerConnection.ResponseError ? error.response.status : 0;
}

async function reasonOf(response: Response): Promise<string> {
  try {
    return String((await response.json()).reason ?? '');
  } catch {
    return '';
  }
}

/** An error that Lab knows by its name, and says nothing about. */
function named(name: string, message: string): Error {
  const error = new Error(message);
  error.name = name;
  return error;
}

const duplicate = () => named('ModalDuplicateError', 'Modal is already displayed');
