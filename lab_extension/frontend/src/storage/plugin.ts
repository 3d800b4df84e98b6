/** Object storage in the file browser: menu, versions, deleted files, size. */

import { ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { MainAreaWidget, showErrorMessage, WidgetTracker } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IDefaultFileBrowserRenderer, IFileBrowserFactory } from '@jupyterlab/filebrowser';
import type { FileBrowser } from '@jupyterlab/filebrowser';
import type { ContentsManager } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { localeOf } from '../format.ts';
import { asProblem } from '../problem.ts';
import { StorageApi } from './api.ts';
import { addCommands, commandIds } from './commands.ts';
import { Conflicts } from './conflict.ts';
import { DeletedTab } from './deleted.tsx';
import { Documents } from './documents.tsx';
import { drivePlugin, StorageDrive } from './drive.ts';
import { MarkingRenderer, StaleNotice } from './listing.tsx';
import { isVersion, placeOf, Places } from './places.ts';
import type { StorageTab, Surroundings } from './tab.tsx';
import { UsageLine, UsageModel } from './usage.tsx';
import { VersionsTab } from './versions.tsx';

type Kind = 'versions' | 'deleted';

/** Folders of one listing whose places are asked about at once. */
const AT_ONCE = 20;

const storagePlugin: JupyterFrontEndPlugin<void> = {
  id: 'almanac:storage',
  description: 'What the file browser offers for files in object storage.',
  autoStart: true,
  requires: [IDocumentManager, IFileBrowserFactory],
  optional: [ITranslator, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    manager: IDocumentManager,
    browsers: IFileBrowserFactory,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null
  ) => {
    translator = translator ?? nullTranslator;
    const trans = translator.load('almanac');
    const locale = localeOf(translator.languageCode);
    const { contents, serverSettings } = app.serviceManager;
    const api = new StorageApi(serverSettings);
    const documents = new Documents(app.shell, manager, trans, locale);
    const usage = new UsageModel(api);
    const lines = new Set<UsageLine>();
    let served = true;
    const places = new Places(
      async path => {
        if (!served) {
          throw new Error('This server has no object storage.');
        }
        try {
          return await api.infoUnasked(path);
        } catch (error) {
          // Then it is not asked again and again.
          served = asProblem(error).code !== 'not-object-storage';
          throw error;
        }
      },
      () => {
        lines.forEach(line => line.refresh());
        browsers.tracker.forEach(mark);
        Object.values(commandIds).forEach(id => app.commands.notifyCommandChanged(id));
      }
    );
    const drive = (contents as Partial<ContentsManager>).defaultDrive;
    const provider = drive instanceof StorageDrive ? drive.provider : null;
    if (provider) {
      provider.resolver = new Conflicts(documents, translator);
      // Lab tells of it where a file was chosen, not where it was dropped; of two
      // messages with the same words only one is shown.
      const title = translator.load('jupyterlab')._p('showErrorMessage', 'Upload Error');
      provider.uploadFailed.connect((_, error) => void showErrorMessage(title, error));
    }

    const around: Surroundings = {
      api,
      places,
      documents,
      contents,
      trans,
      locale,
      tell: (what, { title, mend }) => void showErrorMessage(what, `${title} ${mend ?? ''}`.trim()),
      refresh: () => browsers.tracker.forEach(browser => void browser.model.refresh())
    };

    const tabs: Record<Kind, WidgetTracker<MainAreaWidget<StorageTab>>> = {
      versions: new WidgetTracker({ namespace: 'almanac-versions' }),
      deleted: new WidgetTracker({ namespace: 'almanac-deleted' })
    };
    const show = (kind: Kind, path: string) => {
      void places.learn(path);
      const id = `almanac-${kind}:${path}`;
      let tab = tabs[kind].find(each => each.id === id);
      if (!tab) {
        const content =
          kind === 'versions' ? new VersionsTab(around, path) : new DeletedTab(around, path);
        tab = new MainAreaWidget({ content });
        tab.id = id;
        void tabs[kind].add(tab);
        app.shell.add(tab, 'main');
      }
      app.shell.activateById(id);
    };
    addCommands(app, browsers, around, show);
    for (const kind of ['versions', 'deleted'] as const) {
      void restorer?.restore(tabs[kind], {
        command: commandIds[kind],
        args: tab => ({ path: tab.content.path }),
        name: tab => tab.id
      });
    }

    /** A submenu has no visibility of its own: its selector asks for this class. */
    const mark = (browser: FileBrowser) => {
      const { path, driveName } = browser.model;
      browser.toggleClass('alm-mod-objects', !driveName && places.of(path) !== null);
    };

    /** Learn where the folders are that the file browser shows. */
    const look = (browser: FileBrowser) => {
      const { path, driveName } = browser.model;
      if (driveName) {
        return;
      }
      mark(browser);
      void places.learn(path);
      if (placeOf(path) === path && !places.of(path)) {
        // The folders of this one may be roots, each with rights of its own.
        const folders = Array.from(browser.model.items()).filter(each => each.type === 'directory');
        folders.slice(0, AT_ONCE).forEach(each => void places.learn(each.path));
      }
    };
    const watched = new WeakSet<FileBrowser>();
    const watch = (browser: FileBrowser) => {
      if (watched.has(browser)) {
        return;
      }
      watched.add(browser);
      const line = new UsageLine(browser, usage, places, trans, locale);
      lines.add(line);
      line.disposed.connect(() => lines.delete(line));
      browser['mainPanel'].addWidget(line);
      if (provider) {
        browser['mainPanel'].insertWidget(1, new StaleNotice(browser, provider, trans));
      }
      browser.model.refreshed.connect(() => look(browser));
      look(browser);
    };
    app.shell.currentChanged?.connect(() => {
      const path = documents.inFront();
      if (path !== null && !isVersion(path)) {
        void places.learn(path);
      }
      app.commands.notifyCommandChanged(commandIds.documentVersions);
    });
    browsers.tracker.forEach(watch);
    browsers.tracker.widgetAdded.connect((_, browser) => watch(browser));
    void app.restored.then(() => usage.start());
  }
};

const rendererPlugin: JupyterFrontEndPlugin<MarkingRenderer> = {
  id: 'almanac:file-browser-renderer',
  description: 'Marks the files and folders that cannot be written.',
  provides: IDefaultFileBrowserRenderer,
  activate: () => new MarkingRenderer()
};

export const storagePlugins = [drivePlugin, rendererPlugin, storagePlugin];
