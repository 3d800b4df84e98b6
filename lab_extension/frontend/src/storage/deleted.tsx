/** The files that were deleted below a folder: a tab of the main area. */

import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { deleteIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { useTrans } from '../fields.tsx';
import { local, size } from '../format.ts';
import { asProblem } from '../problem.ts';
import { Listed, RowButton, usePages, When } from './lists.tsx';
import { marks } from './marks.ts';
import { StorageTab } from './tab.tsx';
import type { Surroundings } from './tab.tsx';
import type { Deleted } from './wire.ts';

/** What the server takes in one request. */
const AT_MOST = 1000;

export class DeletedTab extends StorageTab {
  constructor(surroundings: Surroundings, path: string) {
    super(surroundings, path, deleteIcon);
    const trans = surroundings.trans;
    this.title.label = trans.__('Deleted: %1', PathExt.basename(path) || '/');
    this.title.caption = trans.__('Deleted files of %1', path || '/');
  }

  protected body(): JSX.Element {
    return <DeletedFiles around={this.surroundings} path={this.path} revision={this.revision} />;
  }
}

function DeletedFiles(props: { around: Surroundings; path: string; revision: number }) {
  const trans = useTrans();
  const { around, path, revision } = props;
  const { locale } = around;
  const load = React.useCallback(
    (after: string | null) => around.api.deleted(path, after),
    [around, path]
  );
  const pages = usePages<Deleted>(load);
  const [busy, setBusy] = React.useState(false);
  const first = React.useRef(revision);
  React.useEffect(() => {
    if (revision !== first.current) {
      first.current = revision;
      void pages.reload();
    }
  }, [revision, pages]);

  const writable = around.places.of(path)?.writable ?? false;
  const until = pages.items.some(item => item.recoverable_until !== null);

  const restore = async (items: Deleted[]) => {
    setBusy(true);
    try {
      const restored = await around.api.undelete(
        items.map(({ path, version }) => ({ path, version }))
      );
      const message =
        restored.length === 1
          ? trans.__('%1 is there again.', restored[0])
          : trans.__('%1 files are there again.', restored.length);
      Notification.success(message, { autoClose: 5000 });
    } catch (error) {
      around.tell(trans.__('Not restored.'), asProblem(error));
    }
    setBusy(false);
    around.refresh();
    await pages.reload();
  };

  const all = pages.items.slice(0, AT_MOST);
  const restoreAll = async () => {
    const { button } = await showDialog({
      title: trans.__('Restore all of them?'),
      body: trans.__('%1 files come back to where they were.', all.length),
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Restore all') })]
    });
    if (button.accept) {
      await restore(all);
    }
  };

  return (
    <Listed
      mark={marks.deleted}
      title={trans.__('Deleted files')}
      path={path || '/'}
      pages={pages}
      empty={trans.__('Nothing was deleted here that could come back.')}
      hint={
        writable
          ? undefined
          : trans.__('You may read this folder, and not write there: nothing can be restored.')
      }
      actions={
        writable &&
        all.length > 1 && (
          <button
            type="button"
            className="jp-mod-styled alm-Quiet"
            disabled={busy}
            onClick={() => void restoreAll()}
            data-testid={marks.restoreAll}
          >
            {trans.__('Restore all')}
          </button>
        )
      }
      head={
        <tr>
          <th scope="col">{trans.__('File')}</th>
          <th scope="col">{trans.__('Deleted')}</th>
          {until && <th scope="col">{trans.__('Can come back until')}</th>}
          <th scope="col" className="alm-mod-number">
            {trans.__('Size')}
          </th>
          <th scope="col">
            <span className="alm-Announcement">{trans.__('Actions')}</span>
          </th>
        </tr>
      }
      row={item => (
        <tr key={item.path} data-testid={marks.row} data-version={item.version}>
          <td className="alm-Storage-name" title={item.path}>
            {item.name}
            <span className="alm-Storage-ago">{below(path, item.path)}</span>
          </td>
          <td>
            <When instant={item.deleted_at} locale={locale} />
          </td>
          {until && (
            <td>{item.recoverable_until && local(item.recoverable_until, locale)}</td>
          )}
          <td className="alm-mod-number">{size(item.size, locale)}</td>
          <td className="alm-Storage-actions">
            {writable && (
              <RowButton
                label={trans.__('Restore')}
                of={item.name}
                mark={marks.restore}
                disabled={busy}
                onClick={() => void restore([item])}
              />
            )}
          </td>
        </tr>
      )}
    />
  );
}

/** The folder of a file as seen from the one that is listed; empty for that itself. */
function below(folder: string, path: string): string {
  const within = PathExt.dirname(path);
  return within === folder ? '' : within.slice(folder ? folder.length + 1 : 0);
}
