/**
 * What each save is based on. Pure.
 *
 * JupyterLab saves in three requests: it asks for the file's hash and compares
 * it with the one it knows, it sends the content, it asks for the hash again.
 * Between the first two somebody else may write, and between the last two as
 * well. So what it compared is remembered here and goes along with the content
 * as a condition, and its last question is answered with what the save wrote.
 */

/** A content's name; null where there is no file. */
export type Hash = string | null;

interface Comparison {
  hash: Hash;
  /** Whether it was made while a person was being asked something. */
  asking: boolean;
  /** Whether it is forgotten with the turn that it was made in. */
  passing: boolean;
}

/**
 * `M` is the model of a file as the server answers it. All paths are those of
 * one drive.
 */
export class Bases<M> {
  private readonly now = new Map<string, Comparison>();
  private readonly agreed = new Map<string, Hash>();
  private readonly written = new Map<string, M>();

  /** Lab was told this hash; a save that follows in the same turn is based on it. */
  compared(path: string, hash: Hash, how: { asking?: boolean; passing?: boolean } = {}): void {
    const { asking = false, passing = false } = how;
    this.now.set(path, { hash, asking, passing });
  }

  /**
   * That turn is over. Without a save in it Lab has found two versions, and
   * asks whose to keep: *Overwrite* is then about the one it has just seen.
   * What autosave sees while the question is open is not what the person
   * answers to.
   */
  turned(path: string): void {
    const last = this.now.get(path);
    this.now.delete(path);
    if (last && !last.passing && !(last.asking && this.agreed.has(path))) {
      this.agreed.set(path, last.hash);
    }
  }

  /** What the save that begins now is based on; undefined where that is not known. */
  take(path: string): Hash | undefined {
    const last = this.now.get(path);
    const hash = last ? last.hash : this.agreed.get(path);
    this.now.delete(path);
    this.agreed.delete(path);
    return hash;
  }

  /** A save was answered with `model`, which the question after it gets, too. */
  wrote(path: string, model: M): void {
    this.written.set(path, model);
  }

  /** The answer to the question after a save; once. */
  answer(path: string): M | undefined {
    const model = this.written.get(path);
    this.written.delete(path);
    return model;
  }

  /** The question after a save would have come by now. */
  settled(path: string, model: M): void {
    if (this.written.get(path) === model) {
      this.written.delete(path);
    }
  }

  /** The file is gone, or another one now. */
  forget(path: string): void {
    this.now.delete(path);
    this.agreed.delete(path);
    this.written.delete(path);
  }
}
