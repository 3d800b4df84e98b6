/** Asking whose version of a file to keep, with JupyterLab's own words. */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { Contents } from '@jupyterlab/services';
import type { ITranslator } from '@jupyterlab/translation';

import type { Documents } from './documents.tsx';
import type { Choice, Resolver } from './provider.ts';

export class Conflicts implements Resolver {
  constructor(
    private readonly documents: Documents,
    private readonly translator: ITranslator
  ) {}

  /** The dialog that Lab shows where it finds the change before it saves. */
  async choose(path: string): Promise<Choice> {
    const trans = this.translator.load('jupyterlab');
    const body = trans.__(
      `"%1" has changed on disk since the last time it was opened or saved.
Do you want to overwrite the file on disk with the version open here,
or load the version on disk (revert)?`,
      path
    );
    const { button } = await showDialog({
      title: trans.__('File Changed'),
      body,
      buttons: [
        Dialog.cancelButton(),
        Dialog.okButton({ label: trans.__('Revert'), actions: ['revert'] }),
        Dialog.warnButton({ label: trans.__('Overwrite'), actions: ['overwrite'] })
      ]
    });
    if (button.actions.includes('overwrite')) {
      return 'overwrite';
    }
    return button.actions.includes('revert') ? 'revert' : 'cancel';
  }

  async revert(path: string, type: string | undefined): Promise<Contents.IModel> {
    const contexts = this.documents.at(path);
    // A file may be open as a notebook and as text: two documents.
    const context = contexts.find(each => each.contentsModel?.type === type) ?? contexts[0];
    if (!context) {
      throw new Error(`${path} was closed meanwhile, and nothing was saved.`);
    }
    await context.revert();
    return context.contentsModel as Contents.IModel;
  }

  asking(): boolean {
    return Dialog.tracker.size > 0;
  }
}
