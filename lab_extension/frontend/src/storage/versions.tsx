/** The versions of a file: a tab of the main area. */

import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { historyIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { useTrans } from '../fields.tsx';
import { local, size } from '../format.ts';
import { asProblem } from '../problem.ts';
import { Listed, RowButton, usePages, When } from './lists.tsx';
import { marks } from './marks.ts';
import { StorageTab } from './tab.tsx';
import type { Surroundings } from './tab.tsx';
import type { Version } from './wire.ts';

export class VersionsTab extends StorageTab {
  constructor(surroundings: Surroundings, path: string) {
    super(surroundings, path, historyIcon);
    const trans = surroundings.trans;
    this.title.label = trans.__('Versions: %1', PathExt.basename(path));
    this.title.caption = trans.__('Versions of %1', path);
  }

  protected body(): JSX.Element {
    return <Versions around={this.surroundings} path={this.path} revision={this.revision} />;
  }
}

function Versions(props: { around: Surroundings; path: string; revision: number }): JSX.Element {
  const trans = useTrans();
  const { around, path, revision } = props;
  const { locale } = around;
  const load = React.useCallback(
    (after: string | null) => around.api.versions(path, after),
    [around, path]
  );
  const pages = usePages<Version>(load);
  const [busy, setBusy] = React.useState(false);
  const first = React.useRef(revision);
  React.useEffect(() => {
    if (revision !== first.current) {
      first.current = revision;
      void pages.reload();
    }
  }, [revision, pages]);

  const name = PathExt.basename(path);
  const writable = around.places.of(path)?.writable ?? false;

  const restore = async (version: Version) => {
    const unsaved = around.documents.at(path).some(each => each.model.dirty);
    const when = local(version.modified, locale, true);
    const { button, isChecked } = await showDialog({
      title: trans.__('Restore this version?'),
      body: (
        <div className="alm-Storage-question">
          <p>{trans.__('%1 becomes what it was on %2.', name, when)}</p>
          <p>{trans.__('What it is now stays in the list: you can come back to it.')}</p>
          {unsaved && (
            <p>
              {trans.__(
                'It is open with changes that are not saved. They stay in their tab, ' +
                  'and saving them will ask whose version to keep.'
              )}
            </p>
          )}
        </div>
      ),
      checkbox: unsaved
        ? { label: trans.__('Drop those changes and show the restored version'), checked: false }
        : null,
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Restore') })]
    });
    if (!button.accept) {
      return;
    }
    setBusy(true);
    try {
      await around.api.restore(path, version.version);
      await around.documents.reload(path, isChecked === true);
      Notification.success(trans.__('%1 is what it was on %2.', name, when), { autoClose: 5000 });
    } catch (error) {
      around.tell(trans.__('%1 could not be restored.', name), asProblem(error));
    }
    setBusy(false);
    around.refresh();
    await pages.reload();
  };

  return (
    <Listed
      mark={marks.versions}
      title={trans.__('Versions')}
      path={path}
      pages={pages}
      empty={trans.__('There is one version of this file only, and nothing to go back to.')}
      hint={
        writable
          ? undefined
          : trans.__('You may read this folder, and not write there: nothing can be restored.')
      }
      head={
        <tr>
          <th scope="col">{trans.__('Saved')}</th>
          <th scope="col" className="alm-mod-number">
            {trans.__('Size')}
          </th>
          <th scope="col">
            <span className="alm-Announcement">{trans.__('Actions')}</span>
          </th>
        </tr>
      }
      row={version => {
        const when = local(version.modified, locale, true);
        return (
          <tr
            key={version.version}
            data-testid={marks.row}
            data-version={version.version}
            aria-current={version.latest || undefined}
          >
            <td>
              <When instant={version.modified} locale={locale} />
            </td>
            <td className="alm-mod-number">
              {version.deleted ? '' : size(version.size, locale)}
            </td>
            <td className="alm-Storage-actions">
              {version.latest && !version.deleted && (
                <span className="alm-Storage-badge">{trans.__('Current')}</span>
              )}
              {version.deleted && <span className="alm-Storage-badge">{trans.__('Deleted')}</span>}
              {version.path !== null && (
                <>
                  <RowButton
                    label={version.latest ? trans.__('Open') : trans.__('Open read-only')}
                    of={when}
                    mark={marks.open}
                    onClick={() => around.documents.open(path, version)}
                  />
                  <RowButton
                    label={trans.__('Download')}
                    of={when}
                    mark={marks.download}
                    onClick={() => void around.documents.download(version.path as string, name)}
                  />
                </>
              )}
              {version.path !== null && !version.latest && writable && (
                <RowButton
                  label={trans.__('Restore')}
                  of={when}
                  mark={marks.restore}
                  disabled={busy}
                  onClick={() => void restore(version)}
                />
              )}
            </td>
          </tr>
        );
      }}
    />
  );
}
