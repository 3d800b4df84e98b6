/** Open documents, as far as versions are concerned. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import { local } from '../format.ts';
import type { Version } from './wire.ts';

const AREAS = ['main', 'left', 'right', 'down'];

export class Documents {
  constructor(
    private readonly shell: JupyterFrontEnd.IShell,
    private readonly manager: IDocumentManager,
    private readonly trans: TranslationBundle,
    private readonly locale: string
  ) {}

  /** The documents open from a path, each once, however many tabs show it. */
  at(path: string): DocumentRegistry.Context[] {
    const found = new Set<DocumentRegistry.Context>();
    for (const area of AREAS) {
      for (const widget of this.shell.widgets(area)) {
        const context = this.manager.contextForWidget(widget);
        if (context?.path === path) {
          found.add(context);
        }
      }
    }
    return [...found];
  }

  /** The path of the document in front; null where there is none. */
  inFront(): string | null {
    const { currentWidget } = this.shell;
    return (currentWidget && this.manager.contextForWidget(currentWidget)?.path) ?? null;
  }

  /**
   * Show what is stored now.
   *
   * @param dropping - also in documents with changes that are not saved; else
   *   those keep them.
   */
  async reload(path: string, dropping: boolean): Promise<void> {
    const shown = this.at(path).filter(context => dropping || !context.model.dirty);
    await Promise.all(
      shown.map(async context => {
        await context.revert();
        // As Lab's own command to revert leaves it.
        context.model.dirty = false;
      })
    );
  }

  /** Open a version of the file at `path`: the newest to be worked on, others to be read. */
  open(path: string, version: Version): void {
    if (version.latest || version.path === null) {
      this.manager.openOrReveal(path);
      return;
    }
    const there = this.manager.findWidget(version.path);
    const widget = this.manager.openOrReveal(version.path, 'default', undefined, undefined, {
      shouldStart: false
    });
    if (widget && !there) {
      const { trans } = this;
      const label = ReactWidget.create(
        <span className="jp-ToolbarLabelComponent" title={trans.__('An older version of %1', path)}>
          {trans.__('Version of %1', local(version.modified, this.locale, true))}
        </span>
      );
      widget.toolbar.insertItem(0, 'almanac-version', label);
    }
  }

  /** Let the browser fetch a file. */
  async download(path: string, name: string): Promise<void> {
    const anchor = document.createElement('a');
    anchor.href = await this.manager.services.contents.getDownloadUrl(path);
    anchor.download = name;
    document.body.appendChild(anchor);
    anchor.click();
    anchor.remove();
  }
}
