/** What a command of the file browser is about. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import type { Contents } from '@jupyterlab/services';

import type { Places } from './places.ts';
import type { Info } from './wire.ts';

export interface Target {
  /** Of the contents API. */
  path: string;
  folder: boolean;
  /** What is known of its place; null outside of object storage. */
  info: Info | null;
}

/** A target in object storage. */
export type Stored = Target & { info: Info };

export class Selection {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly browsers: IFileBrowserFactory,
    private readonly places: Places
  ) {}

  /** What is selected, wherever that is. */
  all(): Target[] {
    const browser = this.browsers.tracker.currentWidget;
    return browser ? Array.from(browser.selectedItems(), model => this.targetOf(model)) : [];
  }

  /** The one file that is selected, if it is in object storage. */
  file(): Stored | null {
    const targets = this.all();
    const [target] = targets;
    return targets.length === 1 && !target.folder ? stored(target) : null;
  }

  /** The folder that is clicked on, or else the one that is shown, if in object storage. */
  folder(): Stored | null {
    // A click beside the files leaves them selected.
    const targets = this.clickedItem() ? this.all() : [this.shown()];
    const [target] = targets;
    return targets.length === 1 && target?.folder ? stored(target) : null;
  }

  /** What a command was given; what is selected where it was given nothing. */
  async given(path: unknown): Promise<Target | null> {
    if (typeof path !== 'string') {
      return this.all()[0] ?? null;
    }
    await this.places.learn(path);
    return { path, folder: false, info: this.places.of(path) };
  }

  private shown(): Target | null {
    const browser = this.browsers.tracker.currentWidget;
    if (!browser || browser.model.driveName) {
      return null;
    }
    const { path } = browser.model;
    return { path, folder: true, info: this.places.of(path) };
  }

  private targetOf(model: Contents.IModel): Target {
    const { contents } = this.app.serviceManager;
    return {
      path: contents.localPath(model.path),
      folder: model.type === 'directory',
      info: contents.driveName(model.path) ? null : this.places.of(model.path)
    };
  }

  /** Whether the menu that is open is of a file or folder, and not of the space below them. */
  private clickedItem(): boolean {
    const isItem = (node: HTMLElement) => node.classList.contains('jp-DirListing-item');
    return this.app.contextMenuHitTest(isItem) !== undefined;
  }
}

function stored(target: Target): Stored | null {
  return target.info ? { ...target, info: target.info } : null;
}
