/** What the file browser says of what cannot be read, and of what cannot be written. */

import { showErrorMessage } from '@jupyterlab/apputils';
import { DirListing } from '@jupyterlab/filebrowser';
import type { FileBrowser } from '@jupyterlab/filebrowser';
import { ServerConnection } from '@jupyterlab/services';
import type { Contents } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import { marks } from './marks.ts';
import { PROJECTS } from './places.ts';
import type { Listing, StorageProvider } from './provider.ts';

/** Marks what cannot be written, which Lab tells only where the pointer rests. */
export class MarkingRenderer extends DirListing.Renderer {
  override updateItemNode(
    node: HTMLElement,
    model: Contents.IModel,
    ...rest: RestOf<DirListing.Renderer['updateItemNode']>
  ): void {
    super.updateItemNode(node, model, ...rest);
    // That nobody makes a project here says nothing of those that there are.
    const marked = model.writable === false && model.path !== PROJECTS;
    node.classList.toggle('alm-mod-readOnly', marked);
  }
}

type RestOf<F> = F extends (node: never, model: never, ...rest: infer R) => void ? R : never;

/**
 * Above the files, while the folder that is shown could not be read again.
 *
 * Lab tells of folders that are not there, and says nothing of those that may
 * not be read or whose store is down.
 */
export class StaleNotice extends ReactWidget {
  constructor(
    private readonly browser: FileBrowser,
    provider: StorageProvider,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('alm-Stale');
    this.hide();
    provider.listed.connect(this.onListed, this);
    this.disposed.connect(() => provider.listed.disconnect(this.onListed, this));
    browser.model.connectionFailure.connect(this.onFailure, this);
  }

  render(): JSX.Element {
    return (
      <div className="alm-Notice alm-mod-warning" role="alert" data-testid={marks.stale}>
        <div className="alm-Notice-title">
          {this.trans.__('This folder could not be read again.')}
        </div>
        <div>{this.message}</div>
      </div>
    );
  }

  private onListed(_: unknown, { path, error }: Listing): void {
    this.last = path;
    if (path === this.browser.model.path) {
      this.message = error?.message ?? '';
      this.setHidden(!error);
      this.update();
    }
  }

  private onFailure(_: unknown, error: Error): void {
    const status = error instanceof ServerConnection.ResponseError ? error.response.status : 404;
    // Lab itself shows what is not found, and that the connection is lost.
    if (status !== 404 && this.last !== this.browser.model.path) {
      void showErrorMessage(this.trans.__('%1 cannot be opened', this.last), error);
    }
  }

  private message = '';
  /** The folder that was asked for last. */
  private last = '';
}
