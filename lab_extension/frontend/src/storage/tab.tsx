/** A tab of the main area about a path in object storage. */

import type { Contents } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { LabIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import { Trans } from '../fields.tsx';
import type { Problem } from '../wire.ts';
import type { StorageApi } from './api.ts';
import type { Documents } from './documents.tsx';
import type { Places } from './places.ts';

/** What a tab needs of the page around it. */
export interface Surroundings {
  api: StorageApi;
  places: Places;
  documents: Documents;
  contents: Contents.IManager;
  trans: TranslationBundle;
  locale: string;
  /** Tell of something that went wrong outside of a list. */
  tell: (what: string, problem: Problem) => void;
  /** Let the file browser read its folder again. */
  refresh: () => void;
}

export abstract class StorageTab extends ReactWidget {
  constructor(
    protected readonly surroundings: Surroundings,
    readonly path: string,
    icon: LabIcon
  ) {
    super();
    this.addClass('alm-StorageTab');
    this.title.icon = icon;
    this.title.closable = true;
    surroundings.contents.fileChanged.connect(this.onFileChanged, this);
  }

  render(): JSX.Element {
    return <Trans.Provider value={this.surroundings.trans}>{this.body()}</Trans.Provider>;
  }

  override dispose(): void {
    this.surroundings.contents.fileChanged.disconnect(this.onFileChanged, this);
    super.dispose();
  }

  protected abstract body(): JSX.Element;

  /** Counts what this page has changed below the path. */
  protected revision = 0;

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.tabIndex = -1;
    this.node.focus();
  }

  private onFileChanged(_: unknown, change: Contents.IChangedArgs): void {
    const here = [change.oldValue?.path, change.newValue?.path].some(
      path => path === this.path || path?.startsWith(this.path ? `${this.path}/` : '')
    );
    if (here) {
      this.revision += 1;
      this.update();
    }
  }
}
