/** The dialog that makes an address under which anybody may read a file for a while. */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import { Notice, Select, Trans, useTrans } from '../fields.tsx';
import { local, relative, span } from '../format.ts';
import { asProblem } from '../problem.ts';
import type { Problem } from '../wire.ts';
import { copyText } from './clipboard.ts';
import { marks } from './marks.ts';
import type { Surroundings } from './tab.tsx';
import type { Link, Offer } from './wire.ts';

export async function share(around: Surroundings, path: string, offer: Offer): Promise<void> {
  const { trans } = around;
  await showDialog({
    title: trans.__('Share %1', PathExt.basename(path)),
    body: new ShareBody(around, path, offer),
    buttons: [Dialog.okButton({ label: trans.__('Done') })],
    hasClose: true
  });
}

class ShareBody extends ReactWidget {
  constructor(
    private readonly around: Surroundings,
    private readonly path: string,
    private readonly offer: Offer
  ) {
    super();
    this.addClass('alm-Share');
    this.node.dataset.testid = marks.share;
  }

  render(): JSX.Element {
    return (
      <Trans.Provider value={this.around.trans}>
        <Share around={this.around} path={this.path} offer={this.offer} />
      </Trans.Provider>
    );
  }
}

function Share(props: { around: Surroundings; path: string; offer: Offer }): JSX.Element {
  const trans = useTrans();
  const { around, path, offer } = props;
  const { locale } = around;
  const id = React.useId();
  const [seconds, setSeconds] = React.useState(offer.default ?? offer.choices[0]);
  const [link, setLink] = React.useState<Link | null>(null);
  const [problem, setProblem] = React.useState<Problem | null>(null);
  const [busy, setBusy] = React.useState(false);
  const [copied, setCopied] = React.useState(false);
  const field = React.useRef<HTMLInputElement>(null);
  React.useEffect(() => field.current?.select(), [link]);

  const make = async () => {
    setBusy(true);
    setCopied(false);
    try {
      setLink(await around.api.share(path, seconds));
      setProblem(null);
    } catch (error) {
      setLink(null);
      setProblem(asProblem(error));
    }
    setBusy(false);
  };
  const copy = async () => {
    if (link) {
      await copyText(link.url);
      setCopied(true);
    }
  };

  return (
    <div className="alm-Form">
      <p className="alm-Help">
        {trans.__(
          'Whoever has the link can read this one file as it is when they open it, ' +
            'without signing in. It cannot be taken back before it ends.'
        )}
      </p>
      <div className="alm-Storage-line">
        <label htmlFor={`${id}-duration`} className="alm-Label">
          {trans.__('The link holds for')}
        </label>
        <Select
          id={`${id}-duration`}
          value={seconds}
          data-testid={marks.duration}
          onChange={event => {
            setSeconds(Number(event.target.value));
            setLink(null);
          }}
        >
          {offer.choices.map(choice => (
            <option key={choice} value={choice}>
              {span(choice, locale)}
            </option>
          ))}
        </Select>
        <button
          type="button"
          className="jp-mod-styled alm-Quiet"
          disabled={busy}
          onClick={() => void make()}
          data-testid={marks.make}
        >
          {busy ? trans.__('Making the link…') : trans.__('Make the link')}
        </button>
      </div>
      {problem && <Notice problem={problem} mark={marks.failure} />}
      {link && (
        <div className="alm-Section" role="status">
          <label htmlFor={`${id}-link`} className="alm-Label">
            {trans.__('Link')}
          </label>
          <div className="alm-Storage-line">
            <input
              ref={field}
              id={`${id}-link`}
              type="text"
              className="jp-mod-styled alm-Storage-link"
              readOnly
              value={link.url}
              data-testid={marks.link}
              onFocus={event => event.target.select()}
            />
            <button
              type="button"
              className="jp-mod-styled alm-Quiet"
              onClick={() => void copy()}
              data-testid={marks.copy}
            >
              {copied ? trans.__('Copied') : trans.__('Copy')}
            </button>
          </div>
          <p className="alm-Help" data-testid={marks.expires}>
            {trans.__(
              'It ends on %1 (%2).',
              local(link.expires, locale),
              // An hour is not to be told as 59 minutes.
              relative(link.expires, Date.now() - 30_000, locale)
            )}
          </p>
        </div>
      )}
      {offer.note && <p className="alm-Help">{offer.note}</p>}
    </div>
  );
}
