/** The form: what will run, when, with what; and the one button that says so. */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Field, FieldError, Notice, Radios, Select, useTrans } from './fields.tsx';
import { inZone, withoutZone } from './format.ts';
import { marks } from './marks.ts';
import type { PanelModel } from './model.ts';
import { LAST_DAY_OF_EVERY_MONTH, timezones, toCron } from './schedule.ts';
import type { Preset } from './schedule.ts';
import { blockers } from './sheet.ts';
import type { Draft, Sheet } from './sheet.ts';
import type { NotebookInfo, Parameter, Step } from './wire.ts';

interface Part {
  model: PanelModel;
  sheet: Sheet;
  info: NotebookInfo;
  draft: Draft;
}

export function ProductionizeForm(props: Part & { locale: string }): JSX.Element {
  const trans = useTrans();
  const { model, sheet, info } = props;
  const form = React.useRef<HTMLFormElement>(null);
  const seen = React.useRef(model.refusals);
  React.useEffect(() => {
    // A refusal takes the focus to the first field at fault.
    if (model.refusals !== seen.current) {
      seen.current = model.refusals;
      form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
    }
  });
  const busy = sheet.step !== null;
  const blocked = blockers(info);
  return (
    <form
      ref={form}
      className="alm-Form"
      data-testid={marks.form}
      noValidate
      aria-busy={busy}
      onSubmit={event => {
        event.preventDefault();
        void model.submit();
      }}
    >
      <fieldset className="alm-Plain" disabled={busy}>
        <Target {...props} />
        <Checks {...props} />
        <About {...props} />
        <When {...props} />
        <Parameters {...props} />
      </fieldset>
      <p className="alm-Help">
        {blocked
          ? trans._n(
              'Mend what the check found and save the notebook: it is then checked again.',
              'Mend what the checks found and save the notebook: it is then checked again.',
              blocked
            )
          : trans.__(
              'A test run starts at once: it really runs the notebook, and what it writes goes to a test folder. Once it has succeeded, the job is live.'
            )}
      </p>
      <div className="alm-Action">
        {sheet.failure && <Notice problem={sheet.failure} mark={marks.failure} />}
        <button
          type="submit"
          className="jp-mod-styled jp-mod-accept alm-Submit"
          data-testid={marks.submit}
          disabled={busy || blocked > 0}
        >
          {busy && <span className="alm-Spinner" aria-hidden="true" />}
          {sheet.step
            ? stepLabel(sheet.step, trans)
            : blocked
              ? trans._n('One check stops it', '%1 checks stop it', blocked)
              : primaryLabel(props, trans)}
        </button>
      </div>
    </form>
  );
}

/** What the primary button will do, in so many words. */
function primaryLabel({ sheet, draft }: Part, trans: TranslationBundle): string {
  const version = draft.target === 'version';
  if (draft.when === 'now') {
    return version ? trans.__('Run the new version now') : trans.__('Run now');
  }
  const { preview } = sheet;
  if (!preview) {
    return version ? trans.__('Update the job') : trans.__('Schedule');
  }
  const sentence = withoutZone(preview.sentence, preview.timezone);
  return version
    ? trans.__('Update: %1', sentence)
    : trans.__('Schedule: %1', sentence);
}

function stepLabel(step: Step, trans: TranslationBundle): string {
  return {
    saving: trans.__('Saving the notebook…'),
    reading: trans.__('Reading the notebook…'),
    environment: trans.__('Capturing the environment…'),
    packing: trans.__('Packing the bundle…'),
    uploading: trans.__('Sending it to the job service…'),
    registering: trans.__('Registering the job…')
  }[step];
}

function Checks({ model, info }: Part): JSX.Element {
  const trans = useTrans();
  const words: Record<string, string> = {
    error: trans.__('Stops it'),
    warning: trans.__('Warning'),
    info: trans.__('Note')
  };
  if (info.findings.length === 0) {
    return <div className="alm-Help">{trans.__('Checks: nothing found')}</div>;
  }
  return (
    <details className="alm-Fold" open>
      <summary className="alm-Heading">{trans.__('Checks (%1)', info.findings.length)}</summary>
      <ul className="alm-List" data-testid={marks.findings}>
        {info.findings.map((finding, index) => (
          <li
            key={index}
            className={`alm-Finding alm-mod-${finding.severity}`}
            data-testid={marks.finding}
            data-code={finding.code}
            data-severity={finding.severity}
          >
            <div className="alm-Finding-head">
              <span className="alm-Finding-severity">
                {words[finding.severity] ?? finding.severity}
              </span>
              {finding.cell !== null && (
                <button
                  type="button"
                  className="alm-Jump"
                  onClick={() => model.reveal(finding.cell!)}
                  title={trans.__('Show this cell')}
                >
                  {finding.line === null
                    ? trans.__('Cell %1', finding.cell + 1)
                    : trans.__('Cell %1, line %2', finding.cell + 1, finding.line)}
                </button>
              )}
            </div>
            <div>{finding.message}</div>
            {finding.mend && <div className="alm-Finding-mend">{finding.mend}</div>}
          </li>
        ))}
      </ul>
    </details>
  );
}

function Target({ model, info, draft }: Part): JSX.Element | null {
  const trans = useTrans();
  if (!info.job) {
    return null;
  }
  return (
    <Radios
      name="target"
      legend={trans.__('This notebook is a job already')}
      value={draft.target}
      onChange={target => model.edit({ target })}
      choices={[
        { value: 'version', label: trans.__('New version of %1', info.job.name) },
        { value: 'job', label: trans.__('As a new job') }
      ]}
    />
  );
}

function About({ model, sheet, info, draft }: Part): JSX.Element {
  const trans = useTrans();
  return (
    <section className="alm-Section">
      {draft.target === 'job' && (
        <Field field="name" label={trans.__('Name')} error={sheet.errors.name}>
          {bound => (
            <input
              {...bound}
              type="text"
              className="jp-mod-styled"
              value={draft.name}
              maxLength={100}
              autoComplete="off"
              spellCheck={false}
              onChange={event => model.edit({ name: event.target.value }, 'name')}
            />
          )}
        </Field>
      )}
      {draft.target === 'job' && info.projects.length > 1 && (
        <Field
          field="project"
          label={trans.__('Project')}
          help={
            info.projects.find(project => project.slug === draft.project)?.personal
              ? trans.__('You alone see the job.')
              : trans.__('Its members see the job, and keep it when you leave.')
          }
          error={sheet.errors.project}
        >
          {bound => (
            <Select
              {...bound}
              value={draft.project ?? ''}
              onChange={event => model.edit({ project: event.target.value }, 'project')}
            >
              {info.projects.map(project => (
                <option key={project.slug} value={project.slug}>
                  {project.personal ? trans.__('My own') : project.title || project.slug}
                </option>
              ))}
            </Select>
          )}
        </Field>
      )}
    </section>
  );
}

function When(props: Part & { locale: string }): JSX.Element {
  const trans = useTrans();
  const { model, draft, info } = props;
  const scheduled = draft.target === 'version' ? info.job?.schedule : null;
  return (
    <section className="alm-Section">
      <Radios
        name="when"
        legend={trans.__('Schedule')}
        value={draft.when}
        onChange={when => model.edit({ when })}
        choices={[
          { value: 'now', label: trans.__('Run now') },
          { value: 'schedule', label: trans.__('Run on a schedule') }
        ]}
      />
      {draft.when === 'schedule' ? (
        <ScheduleFields {...props} />
      ) : (
        <p className="alm-Help">
          {scheduled
            ? trans.__('It runs once, now. Its schedule stays: %1.', scheduled.sentence)
            : trans.__('It runs once, now, and again whenever you ask for it.')}
        </p>
      )}
    </section>
  );
}

function ScheduleFields({ model, sheet, draft, locale }: Part & { locale: string }): JSX.Element {
  const trans = useTrans();
  const choice = draft.schedule;
  const edit = (change: Partial<typeof choice>, field?: string) =>
    model.edit({ schedule: { ...choice, ...change } }, field);
  const zones = React.useMemo(timezones, []);
  const zonesId = React.useId();
  const weekdays = React.useMemo(() => weekdayNames(locale), [locale]);
  return (
    <div className="alm-Indent">
      <Field field="schedule.preset" label={trans.__('How often')}>
        {bound => (
          <Select
            {...bound}
            value={choice.preset}
            onChange={event => {
              const preset = event.target.value as Preset;
              // Whoever turns to cron goes on from what was chosen in words.
              edit({ preset, ...(preset === 'cron' ? { cron: toCron(choice) } : {}) });
            }}
          >
            <option value="daily">{trans.__('Every day')}</option>
            <option value="weekdays">{trans.__('Every weekday')}</option>
            <option value="weekly">{trans.__('Every week')}</option>
            <option value="monthly">{trans.__('Every month')}</option>
            <option value="cron">{trans.__('Custom (cron)')}</option>
          </Select>
        )}
      </Field>
      <div className="alm-Columns">
        {choice.preset === 'weekly' && (
          <Field field="schedule.weekday" label={trans.__('On')}>
            {bound => (
              <Select
                {...bound}
                value={choice.weekday}
                onChange={event => edit({ weekday: Number(event.target.value) })}
              >
                {weekdays.map(([day, name]) => (
                  <option key={day} value={day}>
                    {name}
                  </option>
                ))}
              </Select>
            )}
          </Field>
        )}
        {choice.preset === 'monthly' && (
          <Field field="schedule.day" label={trans.__('On day')}>
            {bound => (
              <Select
                {...bound}
                value={choice.day}
                onChange={event => edit({ day: Number(event.target.value) })}
              >
                {Array.from({ length: LAST_DAY_OF_EVERY_MONTH }, (_, index) => (
                  <option key={index} value={index + 1}>
                    {index + 1}
                  </option>
                ))}
              </Select>
            )}
          </Field>
        )}
        {choice.preset !== 'cron' && (
          <Field field="schedule.time" label={trans.__('At')} error={sheet.errors['schedule.time']}>
            {bound => (
              <input
                {...bound}
                type="time"
                className="jp-mod-styled"
                value={choice.time}
                onChange={event => edit({ time: event.target.value }, 'schedule.time')}
              />
            )}
          </Field>
        )}
      </div>
      {choice.preset === 'cron' ? (
        <Field
          field="schedule.cron"
          label={trans.__('Cron')}
          help={trans.__('Minute, hour, day of the month, month, day of the week')}
          error={sheet.errors['schedule.cron']}
        >
          {bound => (
            <input
              {...bound}
              type="text"
              className="jp-mod-styled alm-Code"
              value={choice.cron}
              autoComplete="off"
              spellCheck={false}
              onChange={event => edit({ cron: event.target.value }, 'schedule.cron')}
            />
          )}
        </Field>
      ) : (
        sheet.errors['schedule.cron'] && (
          <FieldError field="schedule.cron" problem={sheet.errors['schedule.cron']} />
        )
      )}
      <Field
        field="schedule.timezone"
        label={trans.__('Time zone')}
        error={sheet.errors['schedule.timezone']}
      >
        {bound => (
          <>
            <input
              {...bound}
              type="text"
              list={zonesId}
              className="jp-mod-styled"
              value={choice.timezone}
              autoComplete="off"
              spellCheck={false}
              onChange={event => edit({ timezone: event.target.value }, 'schedule.timezone')}
            />
            <datalist id={zonesId}>
              {zones.map(zone => (
                <option key={zone} value={zone} />
              ))}
            </datalist>
          </>
        )}
      </Field>
      <Meaning sheet={sheet} locale={locale} />
    </div>
  );
}

/** What the schedule means: the sentence, and the next times. */
function Meaning({ sheet, locale }: { sheet: Sheet; locale: string }): JSX.Element {
  const trans = useTrans();
  const { preview } = sheet;
  return (
    <div
      className={`alm-Meaning ${preview || sheet.previewing ? 'alm-mod-held' : ''}`}
      aria-live="polite"
      aria-busy={sheet.previewing}
    >
      {preview && (
        <>
          <div className="alm-Sentence" data-testid={marks.sentence}>
            {preview.sentence}
          </div>
          <ol className="alm-Next" aria-label={trans.__('Next times')}>
            {preview.next.slice(0, 3).map(instant => (
              <li key={instant} data-testid={marks.next} data-instant={instant}>
                {inZone(instant, preview.timezone, locale)}
              </li>
            ))}
          </ol>
        </>
      )}
      {!preview && sheet.previewing && (
        <div className="alm-Help">{trans.__('Working out the next times…')}</div>
      )}
      {!preview && sheet.previewFailure && (
        <div className="alm-Help">
          {trans.__('The next times cannot be shown now: %1', sheet.previewFailure.title)}
        </div>
      )}
    </div>
  );
}

function Parameters({ model, sheet, info, draft }: Part): JSX.Element {
  const trans = useTrans();
  return (
    <section className="alm-Section" data-testid={marks.parameters}>
      <h3 className="alm-Heading">{trans.__('Parameters')}</h3>
      {info.parameters.length === 0 && (
        <p className="alm-Help">
          {trans.__(
            'None. Give the tag “parameters” to the cell that sets them, and they can be changed here for each job.'
          )}
        </p>
      )}
      {info.parameters.map(parameter => (
        <ParameterField
          key={parameter.name}
          parameter={parameter}
          {...{ model, sheet, info, draft }}
        />
      ))}
    </section>
  );
}

function ParameterField(props: Part & { parameter: Parameter }): JSX.Element {
  const trans = useTrans();
  const { model, sheet, draft, parameter } = props;
  const field = `parameters.${parameter.name}`;
  const raw = draft.parameters[parameter.name];
  const edit = (value: string | boolean) =>
    model.edit({ parameters: { ...draft.parameters, [parameter.name]: value } }, field);
  const kinds: Record<string, string> = {
    int: trans.__('whole number'),
    float: trans.__('number'),
    str: trans.__('text'),
    bool: trans.__('yes or no'),
    list: trans.__('list'),
    dict: trans.__('names with values'),
    json: trans.__('any value')
  };
  return (
    <Field
      field={field}
      label={parameter.name}
      aside={kinds[parameter.type]}
      help={parameter.help || undefined}
      error={sheet.errors[field]}
    >
      {bound =>
        parameter.type === 'bool' ? (
          <input
            {...bound}
            type="checkbox"
            className="jp-mod-styled"
            checked={raw === true}
            onChange={event => edit(event.target.checked)}
          />
        ) : (
          <input
            {...bound}
            type="text"
            inputMode={parameter.type === 'int' ? 'numeric' : undefined}
            className={`jp-mod-styled ${parameter.type === 'str' ? '' : 'alm-Code'}`}
            value={typeof raw === 'string' ? raw : ''}
            autoComplete="off"
            spellCheck={false}
            onChange={event => edit(event.target.value)}
          />
        )
      }
    </Field>
  );
}

/** Monday first, as work weeks are; numbered as cron does. */
function weekdayNames(locale: string): [number, string][] {
  const format = new Intl.DateTimeFormat(locale, { weekday: 'long', timeZone: 'UTC' });
  // 7 January 2024 was a Sunday.
  return [1, 2, 3, 4, 5, 6, 0].map(day => [day, format.format(Date.UTC(2024, 0, 7 + day))]);
}
