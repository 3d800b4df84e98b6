/** The panel's state: one sheet a notebook, the jobs, and what keeps them fresh. */

import { PageConfig } from '@jupyterlab/coreutils';
import { VDomModel } from '@jupyterlab/ui-components';
import { UUID } from '@lumino/coreutils';
import { Debouncer, Poll } from '@lumino/polling';

import type { Api } from './api.ts';
import { asProblem, formField, passing } from './problem.ts';
import { localTimezone, toCron } from './schedule.ts';
import { blank, blockers, carryOver, firstDraft, freshName, merge, place, submission } from './sheet.ts';
import type { Draft, Sheet } from './sheet.ts';
import type { Job, Problem, Run, Submission } from './wire.ts';

/** Milliseconds. A live run is watched closely; the rest only has to be true. */
const INTERVAL = { live: 1500, idle: 15_000, longest: 60_000, step: 400, typing: 300 };
const LISTED = 50;
const TEST_IS_AMONG = 10;

export interface Notebook {
  path: string;
  /** Writes what is on screen to disk. */
  save(): Promise<void>;
  /** Brings a cell into view. */
  reveal(cell: number): void;
}

export class PanelModel extends VDomModel {
  constructor(private readonly api: Api) {
    super();
    this.poll = new Poll({
      name: 'almanac:jobs',
      auto: false,
      factory: () => this.fetchJobs(),
      frequency: { interval: INTERVAL.idle, backoff: true, max: INTERVAL.longest },
      standby: () => (this.visible ? 'when-hidden' : true)
    });
    this.previewer = new Debouncer(() => this.preview(), INTERVAL.typing);
  }

  /** The sheet of the notebook in front; null when there is none. */
  sheet: Sheet | null = null;
  /** Null until they were listed once. */
  jobs: Job[] | null = null;
  /** Why the jobs could not be listed the last time. */
  outage: Problem | null = null;
  /** Said to screen readers; changes rarely. */
  announcement = '';
  /** Grows with each refused submission, so that the form can take the focus to the fault. */
  refusals = 0;
  /** Grows with each submission that succeeded. */
  completions = 0;

  get job(): Job | null {
    const id = this.sheet?.info?.job?.id;
    return (id && this.jobs?.find(job => job.id === id)) || this.sheet?.info?.job || null;
  }

  /**
   * The test run that decides on the newest version of the job in front, where
   * another run hides it: one that waits for it, or was skipped as it failed.
   */
  get testRun(): Run | null {
    const { job, test } = this;
    return job && test && awaitsTest(job) && test.version === job.latest_version.number
      ? test
      : null;
  }

  override dispose(): void {
    this.poll.dispose();
    this.previewer.dispose();
    super.dispose();
  }

  /** The panel came into view, or went out of it: then nothing is asked of the server. */
  show(visible: boolean): void {
    this.visible = visible;
    if (!visible) {
      return;
    }
    void this.poll.start();
    void this.poll.refresh();
    if (this.sheet && !this.sheet.info && !this.sheet.loading) {
      void this.load();
    }
  }

  /** Another notebook is in front, or none. */
  follow(notebook: Notebook | null): void {
    this.notebook = notebook;
    const path = notebook?.path ?? null;
    if (path === (this.sheet?.path ?? null)) {
      return;
    }
    if (path === null) {
      this.sheet = null;
    } else {
      this.sheet = this.sheets.get(path) ?? blank(path);
      this.sheets.set(path, this.sheet);
      if (this.visible) {
        void this.load();
      }
    }
    this.stateChanged.emit();
  }

  /** A notebook was given another name: what was entered goes with it. */
  renamed(from: string, to: string): void {
    const sheet = this.sheets.get(from);
    if (sheet) {
      this.sheets.delete(from);
      sheet.path = to;
      this.sheets.set(to, sheet);
    }
  }

  /** The button was pressed: save, then read what is on disk. */
  async start(): Promise<void> {
    const sheet = this.sheet;
    if (!sheet || sheet.step) {
      return;
    }
    sheet.open = true;
    sheet.done = null;
    await this.save(sheet);
    await this.load();
  }

  /** Read the notebook in front again; what was entered stays. */
  async load(): Promise<void> {
    const sheet = this.sheet;
    if (!sheet) {
      return;
    }
    if (sheet.loading) {
      // What is being read may be older than what was just saved.
      this.stale.add(sheet);
      return;
    }
    sheet.loading = true;
    this.stateChanged.emit();
    do {
      this.stale.delete(sheet);
      await this.read(sheet);
    } while (this.stale.has(sheet));
    sheet.loading = false;
    this.stateChanged.emit();
    if (sheet === this.sheet && !sheet.preview) {
      void this.previewer.invoke();
    }
  }

  private async read(sheet: Sheet): Promise<void> {
    try {
      const info = await this.api.notebook(sheet.path);
      const draft = sheet.draft && sheet.info && carryOver(sheet.draft, sheet.info, info);
      sheet.draft = draft || firstDraft(info, localTimezone());
      sheet.info = info;
      sheet.refusal = null;
      if (info.job) {
        this.jobs = this.jobs && merge(this.jobs, info.job);
      }
    } catch (error) {
      sheet.refusal = asProblem(error);
    }
  }

  /** The notebook was saved, by whomever. */
  saved(): void {
    if (this.sheet && this.visible && !this.sheet.step) {
      void this.load();
    }
  }

  /** A person changed something; `field` is what, as errors name it. */
  edit(change: Partial<Draft>, field?: string): void {
    const sheet = this.sheet;
    if (!sheet?.draft) {
      return;
    }
    const before = schedule(sheet.draft);
    sheet.draft = { ...sheet.draft, ...change };
    sheet.failure = null;
    if (field) {
      const { [field]: _, ...others } = sheet.errors;
      sheet.errors = others;
    }
    if (schedule(sheet.draft) !== before) {
      sheet.errors = without(sheet.errors, /^schedule\./);
      sheet.preview = null;
      sheet.previewing = sheet.draft.when === 'schedule';
      void this.previewer.invoke();
    }
    this.stateChanged.emit();
  }

  toggle(): void {
    if (this.sheet) {
      this.sheet.open = !this.sheet.open;
      if (this.sheet.open && !this.sheet.preview) {
        void this.previewer.invoke();
      }
      this.stateChanged.emit();
    }
  }

  reveal(cell: number): void {
    this.notebook?.reveal(cell);
  }

  /** Ask again for everything that could not be had. */
  async retry(): Promise<void> {
    void this.poll.refresh();
    await this.load();
    void this.previewer.invoke();
  }

  /** Do what the primary button says. */
  async submit(): Promise<void> {
    const sheet = this.sheet;
    if (!sheet?.info || !sheet.draft || sheet.step || blockers(sheet.info)) {
      return;
    }
    const result = submission(sheet.draft, sheet.info);
    const errors = 'errors' in result ? result.errors : {};
    // What the service said of the schedule, as it was typed, still holds.
    const known =
      sheet.draft.when === 'schedule'
        ? Object.entries(sheet.errors).filter(([field]) => field.startsWith('schedule.'))
        : [];
    sheet.errors = { ...Object.fromEntries(known), ...errors };
    if (!('body' in result) || known.length) {
      this.refused(Object.values(sheet.errors)[0].title);
      return;
    }
    const { info } = sheet;
    sheet.errors = {};
    sheet.failure = null;
    sheet.step = 'saving';
    this.stateChanged.emit();
    const id = this.idOf(result.body);
    const steps = new Poll({
      name: 'almanac:step',
      factory: async () => {
        const step = await this.api.step(id);
        if (step && sheet.step && step !== sheet.step) {
          sheet.step = step;
          this.stateChanged.emit();
        }
      },
      frequency: { interval: INTERVAL.step, backoff: true, max: 5_000 },
      standby: 'never'
    });
    try {
      if (!(await this.save(sheet))) {
        return;
      }
      const job = await this.api.productionize(id, result.body);
      this.pending = null;
      this.jobs = merge(this.jobs ?? [], job);
      sheet.done = sheet.draft.target;
      sheet.info = { ...sheet.info, job };
      // What was entered stays for the next time: a version's schedule and
      // parameters hold only once it is active.
      sheet.draft = { ...sheet.draft, target: 'version', name: freshName(info.name, job.name) };
      sheet.open = false;
      this.completions += 1;
      this.announcement = `${job.name} is registered. Its test run has started.`;
      void this.poll.refresh();
    } catch (error) {
      const problem = asProblem(error);
      const field = place(problem, sheet.draft, sheet.info);
      if (field) {
        sheet.errors = { [field]: problem };
      } else {
        sheet.failure = problem;
      }
      if (!passing(problem)) {
        this.pending = null;
      }
      this.refused(problem.title);
    } finally {
      steps.dispose();
      sheet.step = null;
      this.stateChanged.emit();
    }
  }

  private async save(sheet: Sheet): Promise<boolean> {
    try {
      await this.notebook?.save();
      return true;
    } catch {
      // Lab itself has shown what kept it from saving.
      sheet.failure = {
        code: 'not-saved',
        title: 'The notebook could not be saved, so nothing was done.',
        mend: 'Save it, then try again.',
        status: 0
      };
      this.refused(sheet.failure.title);
      return false;
    }
  }

  private refused(announcement: string): void {
    this.announcement = announcement;
    this.refusals += 1;
    this.stateChanged.emit();
  }

  /**
   * The same submission sent again, because the connection was lost on the
   * way, keeps its id: the server then knows that it has it.
   */
  private idOf(body: Submission): string {
    const text = JSON.stringify(body);
    if (this.pending?.text !== text) {
      this.pending = { id: UUID.uuid4(), text };
    }
    return this.pending.id;
  }

  private async preview(): Promise<void> {
    const sheet = this.sheet;
    if (!sheet?.draft || sheet.draft.when !== 'schedule') {
      return;
    }
    const wanted = schedule(sheet.draft);
    const { timezone } = sheet.draft.schedule;
    const cron = toCron(sheet.draft.schedule);
    const current = () => sheet.draft !== null && schedule(sheet.draft) === wanted;
    if (!cron || !timezone.trim()) {
      sheet.previewing = false;
      this.stateChanged.emit();
      return;
    }
    sheet.previewing = true;
    this.stateChanged.emit();
    try {
      const preview = await this.api.preview({ cron, timezone: timezone.trim() });
      if (current()) {
        sheet.preview = preview;
        sheet.previewFailure = null;
        sheet.errors = without(sheet.errors, /^schedule\./);
      }
    } catch (error) {
      if (current()) {
        const problem = asProblem(error);
        const field = formField(problem);
        sheet.preview = null;
        sheet.previewFailure = field?.startsWith('schedule.') ? null : problem;
        if (field?.startsWith('schedule.')) {
          sheet.errors = { ...sheet.errors, [field]: problem };
        }
      }
    } finally {
      if (current()) {
        sheet.previewing = false;
      }
      this.stateChanged.emit();
    }
  }

  private async fetchJobs(): Promise<void> {
    try {
      let jobs = await this.api.jobs(LISTED);
      const own = this.job;
      if (own && !jobs.some(job => job.id === own.id)) {
        const job = await this.still(own.id);
        if (job) {
          jobs = merge(jobs, job);
        } else {
          this.forget(own.id);
        }
      }
      const mine = own && jobs.find(job => job.id === own.id);
      if (mine && awaitsTest(mine)) {
        const runs = await this.api.runs(mine.id, TEST_IS_AMONG);
        const { number } = mine.latest_version;
        this.test = runs.find(run => run.test && run.version === number) ?? null;
      }
      this.say(jobs);
      this.jobs = jobs;
      this.outage = null;
    } catch (error) {
      this.outage = asProblem(error);
      throw error;
    } finally {
      const live = this.jobs?.some(job => isLive(job)) && !this.outage;
      const interval = live ? INTERVAL.live : INTERVAL.idle;
      if (this.poll.frequency.interval !== interval) {
        this.poll.frequency = { ...this.poll.frequency, interval };
      }
      this.stateChanged.emit();
    }
  }

  /** A job that is not in the list; null where it was deleted, or is no longer ours to see. */
  private async still(id: string): Promise<Job | null> {
    try {
      const job = await this.api.job(id);
      return job.archived ? null : job;
    } catch (error) {
      if ([403, 404].includes(asProblem(error).status)) {
        return null;
      }
      throw error;
    }
  }

  private forget(id: string): void {
    for (const sheet of this.sheets.values()) {
      if (sheet.info?.job?.id === id) {
        sheet.info = { ...sheet.info, job: null };
        sheet.draft = sheet.draft && { ...sheet.draft, target: 'job' };
        sheet.done = null;
      }
    }
  }

  /** Announces how the run of the job in front ended. */
  private say(jobs: Job[]): void {
    const before = this.job;
    const after = before && jobs.find(job => job.id === before.id);
    if (before?.last_run && after?.last_run && isLive(before) && !isLive(after)) {
      this.announcement = `The run of ${after.name} has ${after.last_run.state}.`;
    }
  }

  private visible = false;
  private readonly sheets = new Map<string, Sheet>();
  private readonly stale = new Set<Sheet>();
  private readonly poll: Poll;
  private readonly previewer: Debouncer;
  private test: Run | null = null;
  private notebook: Notebook | null = null;
  private pending: { id: string; text: string } | null = null;
}

export function isLive(job: Job): boolean {
  return job.last_run?.state === 'queued' || job.last_run?.state === 'running';
}

/** Whether a test run that is not the last run decides on the newest version. */
function awaitsTest(job: Job): boolean {
  return job.latest_version.state === 'draft' && job.last_run !== null && !job.last_run.test;
}

/** Where a page of the job service is; with subdomains, the hub is another host. */
export function pageUrl(path: string): string {
  return PageConfig.getOption('hubHost') + path;
}

function schedule(draft: Draft): string {
  return JSON.stringify([draft.when, toCron(draft.schedule), draft.schedule.timezone]);
}

function without(errors: Record<string, Problem>, pattern: RegExp): Record<string, Problem> {
  return Object.fromEntries(Object.entries(errors).filter(([field]) => !pattern.test(field)));
}
