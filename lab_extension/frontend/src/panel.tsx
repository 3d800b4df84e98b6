/** The panel in the right side area. */

import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import { Notice, Trans } from './fields.tsx';
import { ProductionizeForm } from './form.tsx';
import { localeOf } from './format.ts';
import { almanacIcon } from './icon.ts';
import { JobCard, JobList, Outcome } from './jobs.tsx';
import { marks } from './marks.ts';
import type { PanelModel } from './model.ts';
import type { Sheet } from './sheet.ts';

export class ProductionizePanel extends ReactWidget {
  constructor(
    private readonly model: PanelModel,
    translator: ITranslator
  ) {
    super();
    this.trans = translator.load('almanac');
    this.locale = localeOf(translator.languageCode);
    this.id = 'almanac-productionize';
    this.addClass('alm-Panel');
    this.title.icon = almanacIcon;
    this.title.caption = this.trans.__('Productionize');
    this.node.dataset.testid = marks.panel;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this.trans.__('Productionize'));
  }

  render(): JSX.Element {
    return (
      <Trans.Provider value={this.trans}>
        <UseSignal signal={this.model.stateChanged}>
          {() => <Body model={this.model} trans={this.trans} locale={this.locale} />}
        </UseSignal>
      </Trans.Provider>
    );
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.model.show(true);
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.model.show(false);
  }

  private readonly trans: TranslationBundle;
  private readonly locale: string;
}

interface Props {
  model: PanelModel;
  trans: TranslationBundle;
  locale: string;
}

function Body({ model, trans, locale }: Props): JSX.Element {
  const { sheet } = model;
  const outage = model.outage ?? sheet?.info?.service ?? null;
  return (
    <div className="alm-Body">
      <div className="alm-Announcement" role="status" aria-live="polite">
        {model.announcement}
      </div>
      <header>
        <h2 className="alm-Title">{trans.__('Productionize')}</h2>
        {sheet && (
          <div className="alm-Path" title={sheet.path}>
            {sheet.path}
          </div>
        )}
      </header>
      {outage && (
        <Notice
          problem={outage}
          mark={marks.outage}
          severity="warning"
          onRetry={() => void model.retry()}
        />
      )}
      {sheet ? (
        <NotebookPart model={model} sheet={sheet} trans={trans} locale={locale} />
      ) : (
        <p className="alm-Empty" data-testid={marks.empty}>
          {trans.__('Open a notebook: here it becomes a job that runs by itself, on schedule.')}
        </p>
      )}
      <JobList jobs={model.jobs} locale={locale} />
    </div>
  );
}

function NotebookPart({ model, sheet, trans, locale }: Props & { sheet: Sheet }): JSX.Element {
  const job = model.job;
  const formId = React.useId();
  const outcome = React.useRef<HTMLDivElement>(null);
  const seen = React.useRef(model.completions);
  React.useEffect(() => {
    // The button that had the focus is gone with the form: go where the news is.
    if (model.completions !== seen.current) {
      seen.current = model.completions;
      outcome.current?.focus();
    }
  });
  return (
    <>
      {sheet.refusal && (
        <Notice
          problem={sheet.refusal}
          mark={marks.failure}
          onRetry={() => void model.load()}
        />
      )}
      {!sheet.info && sheet.loading && (
        <div className="alm-Help" data-testid={marks.loading}>
          <span className="alm-Spinner" aria-hidden="true" /> {trans.__('Reading the notebook…')}
        </div>
      )}
      {sheet.done && job && (
        <div ref={outcome} tabIndex={-1} className="alm-Outcome">
          <Outcome job={job} testRun={model.testRun} version={sheet.done === 'version'} />
        </div>
      )}
      {job && <JobCard job={job} testRun={model.testRun} locale={locale} />}
      {job && (
        <button
          type="button"
          className="alm-Toggle"
          aria-expanded={sheet.open}
          aria-controls={formId}
          data-testid={marks.formToggle}
          onClick={() => model.toggle()}
        >
          <span className="alm-Caret" aria-hidden="true" />
          {trans.__('Productionize again')}
        </button>
      )}
      <div id={formId} hidden={Boolean(job) && !sheet.open}>
        {sheet.info && sheet.draft && !sheet.refusal && (
          <ProductionizeForm
            model={model}
            sheet={sheet}
            info={sheet.info}
            draft={sheet.draft}
            locale={locale}
          />
        )}
      </div>
    </>
  );
}
