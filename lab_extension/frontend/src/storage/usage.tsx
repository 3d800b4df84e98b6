/** The line at the foot of the file browser: how full a root is, and whether it can be written. */

import type { FileBrowser } from '@jupyterlab/filebrowser';
import type { TranslationBundle } from '@jupyterlab/translation';
import { lockIcon, ReactWidget } from '@jupyterlab/ui-components';
import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';
import * as React from 'react';

import { size } from '../format.ts';
import { ProblemError } from '../problem.ts';
import type { StorageApi } from './api.ts';
import { marks } from './marks.ts';
import { isVersion } from './places.ts';
import type { Places } from './places.ts';
import type { Usage } from './wire.ts';

/** Milliseconds between questions, and while the first count is under way. */
const EVERY = 60_000;
const SOON = 2_000;
/** Of the limit: from here on it is said that it is almost reached. */
const ALMOST = 0.9;

/** What lies in each root, asked again now and then. */
export class UsageModel {
  readonly changed = new Signal<this, void>(this);

  constructor(api: StorageApi) {
    this.poll = new Poll({
      name: 'almanac:storage-usage',
      auto: false,
      factory: async () => {
        try {
          this.usages = await api.usage();
        } catch (error) {
          if (error instanceof ProblemError && error.problem.status === 404) {
            // A server without object storage.
            void this.poll.stop();
            return;
          }
          throw error;
        }
        this.changed.emit();
        if (this.usages.some(usage => usage.counting)) {
          void this.poll.schedule({ phase: 'resolved', interval: SOON });
        }
      },
      frequency: { interval: EVERY, backoff: true, max: 10 * EVERY },
      standby: 'when-hidden'
    });
  }

  start(): void {
    void this.poll.start();
  }

  of(root: string | null): Usage | null {
    return this.usages.find(usage => usage.root === root) ?? null;
  }

  private usages: Usage[] = [];
  private readonly poll: Poll;
}

/** What is said of a root: its size in words, and how much of the limit that is. */
export function fullness(
  usage: Usage,
  trans: TranslationBundle,
  locale: string
): { text: string; share: number | null } {
  if (usage.size === null) {
    return { text: usage.problem ? '' : trans.__('Counting…'), share: null };
  }
  const used = size(usage.size, locale);
  if (usage.limit === null) {
    return { text: trans.__('%1 used', used), share: null };
  }
  const share = usage.limit > 0 ? usage.size / usage.limit : 1;
  return { text: trans.__('%1 of %2 used', used, size(usage.limit, locale)), share };
}

export class UsageLine extends ReactWidget {
  constructor(
    private readonly browser: FileBrowser,
    private readonly model: UsageModel,
    private readonly places: Places,
    private readonly trans: TranslationBundle,
    private readonly locale: string
  ) {
    super();
    this.addClass('alm-Usage');
    this.node.dataset.testid = marks.usage;
    this.node.setAttribute('role', 'group');
    this.node.setAttribute('aria-label', trans.__('Object storage'));
    browser.model.pathChanged.connect(() => this.refresh());
    model.changed.connect(() => this.refresh());
    this.refresh();
  }

  refresh(): void {
    this.setHidden(this.places.of(this.browser.model.path) === null);
    this.update();
  }

  render(): JSX.Element | null {
    const { trans, locale } = this;
    const { path } = this.browser.model;
    const info = this.places.of(path);
    if (!info) {
      return null;
    }
    const usage = this.model.of(info.root);
    const { text, share } = usage ? fullness(usage, trans, locale) : { text: '', share: null };
    const almost = share !== null && share >= ALMOST;
    const title = usage?.title || info.root || '';
    return (
      <>
        {share !== null && (
          <meter
            className={almost ? 'alm-mod-almost' : ''}
            min={0}
            max={1}
            high={ALMOST}
            optimum={0}
            value={Math.min(share, 1)}
            aria-label={trans.__('Storage used')}
          />
        )}
        <span className="alm-Usage-text" title={title}>
          {text}
          {almost && ` · ${share >= 1 ? trans.__('full') : trans.__('almost full')}`}
        </span>
        {(!info.writable || isVersion(path)) && (
          <span
            className="alm-Usage-readOnly"
            title={trans.__('You may read the files of this folder, and not change them.')}
            data-testid={marks.readOnly}
          >
            <lockIcon.react tag="span" width="12px" height="12px" />
            {trans.__('Read-only')}
          </span>
        )}
      </>
    );
  }
}
