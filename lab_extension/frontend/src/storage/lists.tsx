/** What the lists of versions and of deleted files have in common. */

import { Button, refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { Notice, useTrans } from '../fields.tsx';
import { local, relative } from '../format.ts';
import { asProblem } from '../problem.ts';
import type { Problem } from '../wire.ts';
import { marks } from './marks.ts';
import type { Page } from './wire.ts';

export interface Pages<Item> {
  items: Item[];
  /** False where the store keeps nothing of what is overwritten or deleted. */
  kept: boolean;
  next: string | null;
  /** Whether a first answer is there. */
  known: boolean;
  loading: boolean;
  problem: Problem | null;
  reload: () => Promise<void>;
  more: () => Promise<void>;
}

/**
 * A list that the server gives page by page.
 *
 * @param load - a page; its identity is the list's: another one begins anew.
 */
export function usePages<Item>(load: (after: string | null) => Promise<Page<Item>>): Pages<Item> {
  const [page, setPage] = React.useState<Page<Item> | null>(null);
  const [problem, setProblem] = React.useState<Problem | null>(null);
  const [loading, setLoading] = React.useState(true);
  // Of answers that overtake each other the newest question's counts.
  const newest = React.useRef(0);

  const ask = React.useCallback(
    async (before: Page<Item> | null) => {
      const mine = ++newest.current;
      setLoading(true);
      try {
        const found = await load(before?.next ?? null);
        if (mine === newest.current) {
          setPage({ ...found, items: [...(before?.items ?? []), ...found.items] });
          setProblem(null);
        }
      } catch (error) {
        if (mine === newest.current) {
          setProblem(asProblem(error));
        }
      }
      if (mine === newest.current) {
        setLoading(false);
      }
    },
    [load]
  );
  const reload = React.useCallback(() => ask(null), [ask]);
  React.useEffect(() => void reload(), [reload]);
  React.useEffect(() => () => void newest.current++, []);
  return {
    items: page?.items ?? [],
    kept: page?.versions ?? true,
    next: page?.next ?? null,
    known: page !== null,
    loading,
    problem,
    reload,
    more: () => ask(page)
  };
}

/** Heading, list and whatever is to say instead of the list. */
export function Listed<Item>(props: {
  mark: string;
  title: string;
  path: string;
  pages: Pages<Item>;
  /** Said where there is nothing. */
  empty: string;
  /** Under the heading, when there is something. */
  hint?: string;
  actions?: React.ReactNode;
  head: React.ReactNode;
  row: (item: Item) => React.ReactNode;
}): JSX.Element {
  const trans = useTrans();
  const { pages } = props;
  const heading = React.useId();
  const now = useClock();
  return (
    <section className="alm-Storage" data-testid={props.mark} aria-labelledby={heading}>
      <header className="alm-Storage-header">
        <div className="alm-Storage-heading">
          <h2 id={heading} className="alm-Title">
            {props.title}
          </h2>
          <div className="alm-Path" title={props.path}>
            {props.path}
          </div>
        </div>
        {props.actions}
        <Button
          minimal
          small
          title={trans.__('Read the list again')}
          aria-label={trans.__('Read the list again')}
          onClick={() => void pages.reload()}
        >
          <refreshIcon.react tag="span" />
        </Button>
      </header>
      {pages.problem && (
        <Notice
          problem={pages.problem}
          mark={marks.failure}
          onRetry={() => void pages.reload()}
        />
      )}
      {!pages.known && pages.loading && (
        <p className="alm-Help" role="status" data-testid={marks.loading}>
          <span className="alm-Spinner" aria-hidden="true" /> {trans.__('Reading the list…')}
        </p>
      )}
      {pages.known && pages.items.length === 0 && (
        <p className="alm-Empty" role="status" data-testid={marks.empty}>
          {pages.kept
            ? props.empty
            : trans.__(
                'This store keeps nothing of what is overwritten or deleted. ' +
                  'Whoever runs Almanac here can switch versions on for its bucket.'
              )}
        </p>
      )}
      {pages.items.length > 0 && (
        <>
          {props.hint && <p className="alm-Help">{props.hint}</p>}
          <table className="alm-Storage-table" aria-busy={pages.loading}>
            <thead>{props.head}</thead>
            <tbody>
              <Now.Provider value={now}>{pages.items.map(props.row)}</Now.Provider>
            </tbody>
          </table>
        </>
      )}
      {pages.next && (
        <button
          type="button"
          className="jp-mod-styled alm-Quiet"
          disabled={pages.loading}
          onClick={() => void pages.more()}
          data-testid={marks.more}
        >
          {trans.__('Show more')}
        </button>
      )}
    </section>
  );
}

/** One clock for all rows. */
const Now = React.createContext(0);

function useClock(): number {
  const [now, setNow] = React.useState(Date.now);
  React.useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 30_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** An instant by the clock on the wall, and how long ago that is. */
export function When(props: { instant: string; locale: string }): JSX.Element {
  const { instant, locale } = props;
  // What was just written is not to come in some seconds.
  const now = Math.max(React.useContext(Now), Date.parse(instant) || 0);
  return (
    <time dateTime={instant} title={instant}>
      {local(instant, locale, true)}
      <span className="alm-Storage-ago">{relative(instant, now, locale)}</span>
    </time>
  );
}

/** A button in a row, named for those who hear it without its row. */
export function RowButton(props: {
  label: string;
  of: string;
  mark: string;
  disabled?: boolean;
  onClick: () => void;
}): JSX.Element {
  return (
    <button
      type="button"
      className="jp-mod-styled alm-Quiet"
      aria-label={`${props.label}: ${props.of}`}
      data-testid={props.mark}
      disabled={props.disabled}
      onClick={props.onClick}
    >
      {props.label}
    </button>
  );
}
