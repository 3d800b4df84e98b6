/** The building blocks of the form: a label, an input, what is wrong with it. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import * as React from 'react';

import { errorMark, fieldMark, marks } from './marks.ts';
import type { Problem } from './wire.ts';

export const Trans = React.createContext<TranslationBundle>(null as unknown as TranslationBundle);
export const useTrans = (): TranslationBundle => React.useContext(Trans);

interface Bound {
  id: string;
  'data-testid': string;
  'aria-invalid': boolean;
  'aria-describedby': string | undefined;
}

/** A labelled input; `children` is given what binds it to label, help and error. */
export function Field(props: {
  field: string;
  label: string;
  /** After the label, in a quieter voice. */
  aside?: string;
  help?: string;
  error?: Problem;
  children: (bound: Bound) => React.ReactNode;
}): JSX.Element {
  const id = fieldMark(props.field);
  const helpId = props.help ? `${id}-help` : '';
  const errorId = props.error ? `${id}-error` : '';
  return (
    <div className={`alm-Field ${props.error ? 'alm-mod-invalid' : ''}`}>
      <label htmlFor={id} className="alm-Label">
        {props.label}
        {props.aside && <span className="alm-Aside"> {props.aside}</span>}
      </label>
      {props.children({
        id,
        'data-testid': id,
        'aria-invalid': Boolean(props.error),
        'aria-describedby': [errorId, helpId].filter(Boolean).join(' ') || undefined
      })}
      {props.help && (
        <div id={helpId} className="alm-Help">
          {props.help}
        </div>
      )}
      {props.error && <FieldError id={errorId} field={props.field} problem={props.error} />}
    </div>
  );
}

export function FieldError(props: { id?: string; field: string; problem: Problem }): JSX.Element {
  return (
    <div id={props.id} className="alm-FieldError" data-testid={errorMark(props.field)}>
      {props.problem.title} {props.problem.mend}
    </div>
  );
}

export function Select(
  props: React.SelectHTMLAttributes<HTMLSelectElement> & { 'data-testid'?: string }
): JSX.Element {
  return <HTMLSelect {...props} className="alm-Select" defaultStyle={false} />;
}

/** A choice of one, with a line on what each means. */
export function Radios<T extends string>(props: {
  name: string;
  legend: string;
  value: T;
  choices: { value: T; label: string }[];
  onChange: (value: T) => void;
}): JSX.Element {
  const id = React.useId();
  return (
    <fieldset className="alm-Radios">
      <legend className="alm-Label">{props.legend}</legend>
      {props.choices.map(choice => (
        <label key={choice.value} className="alm-Radio">
          <input
            type="radio"
            name={`${props.name}-${id}`}
            value={choice.value}
            checked={props.value === choice.value}
            onChange={() => props.onChange(choice.value)}
            data-testid={fieldMark(`${props.name}-${choice.value}`)}
          />
          <span>{choice.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** What went wrong, how to mend it, and the button that tries again. */
export function Notice(props: {
  problem: Problem;
  mark: string;
  severity?: 'error' | 'warning';
  onRetry?: () => void;
}): JSX.Element {
  const trans = useTrans();
  return (
    <div
      className={`alm-Notice alm-mod-${props.severity ?? 'error'}`}
      data-testid={props.mark}
      data-code={props.problem.code}
      role="alert"
    >
      <div className="alm-Notice-title">{props.problem.title}</div>
      {props.problem.mend && <div>{props.problem.mend}</div>}
      {props.onRetry && (
        <button
          type="button"
          className="jp-mod-styled alm-Quiet"
          onClick={props.onRetry}
          data-testid={marks.retry}
        >
          {trans.__('Try again')}
        </button>
      )}
    </div>
  );
}
