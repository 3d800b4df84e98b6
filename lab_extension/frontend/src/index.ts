/** Almanac in JupyterLab: the Productionize button, command and panel; object storage. */

import { ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Api } from './api.ts';
import { almanacIcon } from './icon.ts';
import { PanelModel } from './model.ts';
import type { Notebook } from './model.ts';
import { ProductionizePanel } from './panel.tsx';
import { storagePlugins } from './storage/plugin.ts';

const COMMAND = 'almanac:productionize';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'almanac:productionize',
  description: 'Turns the notebook in front into a scheduled job.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    translator = translator ?? nullTranslator;
    const trans = translator.load('almanac');
    const model = new PanelModel(new Api(app.serviceManager.serverSettings));
    const panel = new ProductionizePanel(model, translator);
    app.shell.add(panel, 'right', { rank: 700, type: 'Productionize' });
    restorer?.add(panel, panel.id);

    const watched = new WeakSet<NotebookPanel>();
    const follow = () => {
      const current = tracker.currentWidget;
      model.follow(current ? notebookOf(current) : null);
      if (!current || watched.has(current)) {
        return;
      }
      watched.add(current);
      const { context } = current;
      let path = context.path;
      context.pathChanged.connect(() => {
        model.renamed(path, context.path);
        path = context.path;
        follow();
      });
      context.saveState.connect((_, state) => {
        if (state === 'completed' && tracker.currentWidget === current) {
          model.saved();
        }
      });
    };
    tracker.currentChanged.connect(follow);
    void app.restored.then(follow);

    app.commands.addCommand(COMMAND, {
      label: trans.__('Productionize'),
      caption: trans.__('Turn this notebook into a job that runs by itself'),
      icon: almanacIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: () => tracker.currentWidget !== null,
      execute: async () => {
        follow();
        app.shell.activateById(panel.id);
        await model.start();
      }
    });
    tracker.currentChanged.connect(() => app.commands.notifyCommandChanged(COMMAND));
    palette?.addItem({ command: COMMAND, category: trans.__('Notebook Operations') });
  }
};

/** The save under way of each notebook. */
const saves = new WeakMap<NotebookPanel, Promise<void>>();

function notebookOf(panel: NotebookPanel): Notebook {
  const { context } = panel;
  return {
    path: context.path,
    save: () => {
      // One after the other: two at once take each other for somebody else's
      // change of the file, and Lab then asks whose to keep.
      const before = saves.get(panel) ?? context.ready;
      const now = before
        .catch(() => undefined)
        .then(async () => {
          if (context.model.dirty) {
            await context.save();
          }
        });
      saves.set(panel, now);
      return now;
    },
    reveal: cell => {
      const { content } = panel;
      if (cell < content.widgets.length) {
        content.activeCellIndex = cell;
        void content.scrollToItem(cell, 'center');
        content.activate();
      }
    }
  };
}

export default [plugin, ...storagePlugins];
