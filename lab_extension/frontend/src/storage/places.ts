/** Where paths lie, as last heard from the server. Pure but for the question itself. */

import type { Info } from './wire.ts';

/** Milliseconds after which an answer is asked for again; it is good until the next one. */
const FRESH = 60_000;
/** The folder of the projects' folders. */
export const PROJECTS = 'projects';

interface Heard {
  info: Info | null;
  at: number;
}

/**
 * The folder that a path shares its store and rights with: of the first level,
 * and below `projects` of the second.
 */
export function placeOf(path: string): string {
  const [first = '', second] = path.split('/');
  return first === PROJECTS && second ? `${first}/${second}` : first;
}

/** Whether a path names an older version of a file. */
export function isVersion(path: string): boolean {
  return path.split('/').includes('.versions');
}

/**
 * Menus are drawn at once, so what they show of a path is what is known of its
 * place; that is asked for when the file browser goes there.
 */
export class Places {
  private readonly heard = new Map<string, Heard>();
  private readonly asked = new Map<string, Promise<void>>();
  private readonly ask: (path: string) => Promise<Info>;
  private readonly changed: () => void;
  private readonly now: () => number;

  /**
   * @param ask - the server's answer; rejected where it cannot tell.
   * @param changed - called when more is known.
   */
  constructor(ask: (path: string) => Promise<Info>, changed: () => void, now = Date.now) {
    this.ask = ask;
    this.changed = changed;
    this.now = now;
  }

  /** The object storage that a path lies in; null for what is elsewhere, or not known of. */
  of(path: string): Info | null {
    const info = this.heard.get(placeOf(path))?.info ?? null;
    return info?.kind === 'object' ? info : null;
  }

  /** Ask about a path's place, unless that was done just now. */
  async learn(path: string): Promise<void> {
    const place = placeOf(path);
    const heard = this.heard.get(place);
    if (heard && this.now() - heard.at < FRESH) {
      return;
    }
    const asked = this.asked.get(place) ?? this.hear(place);
    this.asked.set(place, asked);
    await asked;
  }

  private async hear(place: string): Promise<void> {
    let info: Info | null = null;
    try {
      info = await this.ask(place);
    } catch {
      // Not to be told, like a server that has no such thing: what was known
      // of the place stays.
      info = this.heard.get(place)?.info ?? null;
    }
    this.heard.set(place, { info, at: this.now() });
    this.asked.delete(place);
    this.changed();
  }
}
