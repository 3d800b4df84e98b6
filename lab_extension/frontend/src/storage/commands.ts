/** What the file browser's menu offers for files in object storage. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { deleteIcon, historyIcon, linkIcon } from '@jupyterlab/ui-components';

import { asProblem } from '../problem.ts';
import { copyText } from './clipboard.ts';
import { isVersion } from './places.ts';
import { readersOf } from './readers.ts';
import { Selection } from './selection.ts';
import { share } from './share.tsx';
import type { Surroundings } from './tab.tsx';

export const commandIds = {
  uri: 'almanac:storage-copy-uri',
  code: 'almanac:storage-copy-code',
  share: 'almanac:storage-share',
  versions: 'almanac:storage-versions',
  documentVersions: 'almanac:storage-document-versions',
  deleted: 'almanac:storage-deleted'
} as const;

const PATH = {
  type: 'string',
  description: 'Of the file or folder; the selected one where it is left out.'
} as const;

/**
 * @param show - shows a list for a path.
 */
export function addCommands(
  app: JupyterFrontEnd,
  browsers: IFileBrowserFactory,
  around: Surroundings,
  show: (kind: 'versions' | 'deleted', path: string) => void
): void {
  const { commands } = app;
  const { api, places, trans } = around;
  const selection = new Selection(app, browsers, places);

  commands.addCommand(commandIds.uri, {
    label: trans.__('Copy S3 URI'),
    icon: linkIcon,
    describedBy: { args: { type: 'object', properties: { path: PATH } } },
    isVisible: () => {
      const targets = selection.all();
      return targets.length > 0 && targets.every(target => target.info !== null);
    },
    execute: async (args: Args) => {
      const paths = typeof args.path === 'string' ? [args.path] : selection.all().map(t => t.path);
      try {
        const infos = await Promise.all(paths.map(path => api.info(path)));
        const uris = infos.map(info => info.uri).filter(uri => uri !== null);
        await copyText(uris.join('\n'));
        Notification.success(trans.__('Copied: %1', uris.join(', ')), { autoClose: 3000 });
      } catch (error) {
        around.tell(trans.__('The URI could not be copied.'), asProblem(error));
      }
    }
  });

  commands.addCommand(commandIds.code, {
    label: args => (typeof args.label === 'string' ? args.label : String(args.reader ?? '')),
    describedBy: {
      args: {
        type: 'object',
        properties: {
          path: PATH,
          reader: { type: 'string', description: 'The library that shall read the file.' },
          label: { type: 'string', description: 'What the menu calls it.' }
        },
        required: ['reader']
      }
    },
    // Of several files the menu's first one says which ways there are, and
    // none of them is open: a submenu cannot be hidden by what is in it.
    isVisible: args => readersOf(selection.all()[0]?.path ?? '').includes(String(args.reader)),
    isEnabled: args => args.path !== undefined || selection.file() !== null,
    execute: async (args: Args) => {
      const target = await selection.given(args.path);
      if (!target) {
        return;
      }
      try {
        const snippets = await api.code(target.path);
        const snippet = snippets.find(each => each.id === args.reader);
        if (!snippet) {
          const readers = snippets.map(each => each.label).join(', ');
          Notification.warning(
            trans.__('%1 has no way to read this file. Others: %2.', String(args.reader), readers)
          );
          return;
        }
        await copyText(snippet.code);
        Notification.success(
          trans.__('Copied: the lines that read the file with %1.', snippet.label),
          { autoClose: 3000 }
        );
      } catch (error) {
        around.tell(trans.__('The code could not be copied.'), asProblem(error));
      }
    }
  });

  commands.addCommand(commandIds.share, {
    label: trans.__('Share Link…'),
    icon: linkIcon,
    describedBy: { args: { type: 'object', properties: { path: PATH } } },
    isVisible: () => selection.file()?.info.share.allowed ?? false,
    execute: async (args: Args) => {
      const target = await selection.given(args.path);
      if (!target?.info) {
        return;
      }
      try {
        // What is allowed may have changed since the menu was drawn.
        const info = await api.info(target.path);
        await share(around, target.path, info.share);
      } catch (error) {
        around.tell(trans.__('There is no link to share.'), asProblem(error));
      }
    }
  });

  commands.addCommand(commandIds.versions, {
    label: trans.__('Versions…'),
    icon: historyIcon,
    describedBy: { args: { type: 'object', properties: { path: PATH } } },
    isVisible: () => {
      const target = selection.file();
      return target !== null && target.info.versions && !isVersion(target.path);
    },
    execute: async (args: Args) => {
      const target = await selection.given(args.path);
      if (target) {
        show('versions', target.path);
      }
    }
  });

  /** The path of the document in front, if versions are kept of it. */
  const inFront = (): string | null => {
    const path = around.documents.inFront();
    return path !== null && places.of(path)?.versions && !isVersion(path) ? path : null;
  };

  commands.addCommand(commandIds.documentVersions, {
    label: trans.__('Versions…'),
    caption: trans.__('What was stored of this file before'),
    describedBy: { args: { type: 'object', properties: {} } },
    isVisible: () => inFront() !== null,
    execute: () => {
      const path = inFront();
      if (path !== null) {
        show('versions', path);
      }
    }
  });

  commands.addCommand(commandIds.deleted, {
    label: trans.__('Deleted Files…'),
    icon: deleteIcon,
    describedBy: { args: { type: 'object', properties: { path: PATH } } },
    isVisible: () => {
      const target = selection.folder();
      return target !== null && target.info.versions && !isVersion(target.path);
    },
    execute: async (args: Args) => {
      const target = typeof args.path === 'string' ? await selection.given(args.path) : selection.folder();
      if (target) {
        show('deleted', target.path);
      }
    }
  });
}

type Args = { path?: unknown; reader?: unknown };
