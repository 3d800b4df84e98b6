/** Jobs as they are: the one that this notebook is, and all that one may see. */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { useTrans } from './fields.tsx';
import { duration, inZone, relative, withoutZone } from './format.ts';
import { marks } from './marks.ts';
import { pageUrl } from './model.ts';
import type { Job, Run } from './wire.ts';

type State = Run['state'] | 'paused' | 'none';

/** What a job's badge says of this run; one that is under way says more than a pause. */
function stateOf(job: Job, run: Run | null): State {
  if (run && (run.state === 'queued' || run.state === 'running')) {
    return run.state;
  }
  return job.paused ? 'paused' : (run?.state ?? 'none');
}

function word(state: State, trans: TranslationBundle): string {
  return {
    queued: trans.__('Waiting'),
    running: trans.__('Running'),
    succeeded: trans.__('Succeeded'),
    failed: trans.__('Failed'),
    cancelled: trans.__('Cancelled'),
    skipped: trans.__('Skipped'),
    paused: trans.__('Paused'),
    none: trans.__('No runs yet')
  }[state];
}

function Badge(props: { state: State }): JSX.Element {
  return (
    <span className="alm-Badge" data-state={props.state} data-testid={marks.state}>
      {word(props.state, useTrans())}
    </span>
  );
}

function NewTab(props: { path: string; mark: string; children: React.ReactNode }): JSX.Element {
  return (
    <a
      className="alm-Link"
      href={pageUrl(props.path)}
      target="_blank"
      rel="noopener"
      data-testid={props.mark}
    >
      {props.children}
    </a>
  );
}

/** What the last run did: one line, in words. */
function runLine(run: Run, now: number, trans: TranslationBundle, locale: string): string {
  const live = run.state === 'queued' || run.state === 'running';
  const kind = run.test ? trans.__('Test run') : live ? trans.__('Run') : trans.__('Last run');
  const took =
    run.started_at && run.finished_at ? duration(run.started_at, run.finished_at) : undefined;
  switch (run.state) {
    case 'queued':
      return trans.__('%1 waits for its turn', kind);
    case 'running':
      return run.progress && run.progress.cells
        ? trans.__('%1: %2 of %3 cells', kind, run.progress.cell, run.progress.cells)
        : trans.__('%1 is starting', kind);
    default: {
      // The clock of the server may be ahead of the browser's.
      const end = Math.min(Date.parse(run.finished_at ?? run.created_at), now);
      const when = relative(new Date(end).toISOString(), now, locale);
      return took
        ? trans.__('%1 ended %2, took %3', kind, when, took)
        : trans.__('%1 %2', kind, when);
    }
  }
}

/** After a submission: what came of it, as far as it is known by now. */
export function Outcome(props: { job: Job; testRun: Run | null; version: boolean }): JSX.Element {
  const trans = useTrans();
  const { job, version } = props;
  const run = props.testRun ?? job.last_run;
  const draft = job.latest_version.state === 'draft';
  const failed = draft && run !== null && ['failed', 'cancelled', 'skipped'].includes(run.state);
  let title: string;
  let text = trans.__('You can close the notebook and sign out: it runs without you.');
  if (failed) {
    title = trans.__('The test run of %1 did not succeed.', job.name);
    text =
      job.active_version === null
        ? trans.__('It is not in production. Mend the notebook and productionize it again.')
        : trans.__(
            'Version %1 stays active. Mend the notebook and productionize it again.',
            job.active_version
          );
  } else if (draft) {
    title = version
      ? trans.__('%1 has a new version, which is being tested.', job.name)
      : trans.__('%1 is registered and being tested.', job.name);
  } else if (job.latest_version.state === 'active') {
    title = version
      ? trans.__('%1 has a new version.', job.name)
      : trans.__('%1 is in production.', job.name);
  } else {
    title = trans.__('%1 was tested and waits for approval.', job.name);
  }
  return (
    <div className={`alm-Notice alm-mod-${failed ? 'error' : 'success'}`} data-testid={marks.done}>
      <div className="alm-Notice-title">{title}</div>
      {text}
    </div>
  );
}

/**
 * @param testRun - the test run of a version that is not active yet; it is
 *   told instead of the run that waits for it.
 */
export function JobCard(props: { job: Job; testRun: Run | null; locale: string }): JSX.Element {
  const trans = useTrans();
  const { job, locale } = props;
  const now = useNow();
  const run = props.testRun ?? job.last_run;
  return (
    <section
      className="alm-Card"
      data-testid={marks.job}
      data-job={job.id}
      data-state={stateOf(job, run)}
      aria-label={trans.__('Job %1', job.name)}
    >
      <div className="alm-Card-head">
        <span className="alm-Card-name" title={job.name}>
          {job.name}
        </span>
        <Badge state={stateOf(job, run)} />
      </div>
      {run ? (
        <div className="alm-Card-line">
          {runLine(run, now, trans, locale)}
          {' · '}
          <NewTab path={run.url} mark={marks.runLink}>
            {trans.__('Open run')}
          </NewTab>
        </div>
      ) : (
        <div className="alm-Card-line">{trans.__('It has not run yet.')}</div>
      )}
      {run?.state === 'running' && run.progress && run.progress.cells > 0 && (
        <progress
          className="alm-Progress"
          value={run.progress.cell}
          max={run.progress.cells}
          aria-label={trans.__('Cells finished')}
        />
      )}
      {run?.failure && (
        <div className="alm-Card-failure">
          {run.failure.cell === null ? '' : trans.__('Cell %1: ', run.failure.cell + 1)}
          {run.failure.ename}: {run.failure.evalue}
        </div>
      )}
      {run && !run.failure && run.reason && run.state !== 'succeeded' && (
        <div className="alm-Card-failure">{run.reason}</div>
      )}
      {job.schedule && (
        <div className="alm-Card-line" data-testid={marks.nextRun}>
          {withoutZone(job.schedule.sentence, job.schedule.timezone)} ({job.schedule.timezone})
          {job.next_run && (
            <>
              <br />
              {trans.__('Next: %1', inZone(job.next_run, job.schedule.timezone, locale))}
            </>
          )}
        </div>
      )}
      <div className="alm-Card-line">
        {job.active_version === null
          ? trans.__('Version %1, not active yet', job.latest_version.number)
          : trans.__('Version %1 is active', job.active_version)}
        {' · '}
        <NewTab path={job.url} mark={marks.jobLink}>
          {trans.__('Open job page')}
        </NewTab>
      </div>
    </section>
  );
}

function Row(props: { job: Job; now: number; locale: string }): JSX.Element {
  const trans = useTrans();
  const { job, now, locale } = props;
  return (
    <li className="alm-Row" data-testid={marks.row} data-job={job.id} data-state={stateOf(job, job.last_run)}>
      <div className="alm-Row-head">
        <NewTab path={job.url} mark={marks.jobLink}>
          {job.name}
        </NewTab>
        <Badge state={stateOf(job, job.last_run)} />
      </div>
      <div className="alm-Row-line">
        {job.last_run ? runLine(job.last_run, now, trans, locale) : trans.__('No runs yet')}
        {job.next_run && ` · ${trans.__('next %1', relative(job.next_run, now, locale))}`}
      </div>
    </li>
  );
}

export function JobList(props: { jobs: Job[] | null; locale: string }): JSX.Element | null {
  const trans = useTrans();
  const now = useNow();
  if (props.jobs === null) {
    return null;
  }
  return (
    <section className="alm-Section" data-testid={marks.jobs} aria-label={trans.__('My jobs')}>
      <h3 className="alm-Heading">{trans.__('My jobs')}</h3>
      {props.jobs.length === 0 ? (
        <p className="alm-Help">
          {trans.__('None yet. Jobs run here on schedule, also when you are away.')}
        </p>
      ) : (
        <ul className="alm-List">
          {props.jobs.map(job => (
            <Row key={job.id} job={job} now={now} locale={props.locale} />
          ))}
        </ul>
      )}
    </section>
  );
}

/** The time; whoever uses it is drawn again often enough for "2 minutes ago". */
function useNow(): number {
  const [, redraw] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    const timer = window.setInterval(redraw, 10_000);
    return () => window.clearInterval(timer);
  }, []);
  return Date.now();
}
