/**
 * Names for uploads in chunks. Pure.
 *
 * JupyterLab sends a large file in chunks that say their number alone (1, 2,
 * …, and -1 for the last). Two uploads of one path at the same time would be
 * one heap of chunks for the server: each gets an id, and in one tab the
 * second is refused while the first goes on.
 */

export class MixedUploads extends Error {
  constructor(path: string) {
    super(
      `${path} is being uploaded already. Wait until that has ended; ` +
        'then upload it again if you still want to.'
    );
    this.name = 'MixedUploads';
  }
}

/** Milliseconds without a chunk after which an upload counts as given up. */
const GIVEN_UP = 60_000;

interface Upload {
  id: string;
  next: number;
  at: number;
}

export class Uploads {
  private readonly running = new Map<string, Upload>();
  private readonly newId: () => string;

  constructor(newId: () => string) {
    this.newId = newId;
  }

  /**
   * The id of the upload that a chunk belongs to.
   *
   * @param now - milliseconds since some fixed moment.
   * @throws MixedUploads - the chunk is one of another upload of that path.
   */
  of(path: string, chunk: number, now: number): string {
    const upload = this.running.get(path);
    if (chunk === 1) {
      if (upload && now - upload.at < GIVEN_UP) {
        throw new MixedUploads(path);
      }
      const begun = { id: this.newId(), next: 2, at: now };
      this.running.set(path, begun);
      return begun.id;
    }
    if (!upload || (chunk !== -1 && chunk !== upload.next)) {
      throw new MixedUploads(path);
    }
    upload.next = chunk + 1;
    upload.at = now;
    return upload.id;
  }

  /** The upload of that id has ended, with or without its file. */
  ended(path: string, id: string): void {
    if (this.running.get(path)?.id === id) {
      this.running.delete(path);
    }
  }
}
