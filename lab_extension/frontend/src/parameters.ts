/** Parameters between what a person types and what the service is sent. Pure. */

import type { Parameter } from './wire.ts';

/** What an input holds: text, or the state of a checkbox. */
export type Raw = string | boolean;

export type Read = { value: unknown } | { error: string };

/** What to show in the input of a parameter that has this value. */
export function write(parameter: Parameter, value: unknown): Raw {
  if (parameter.type === 'bool') {
    return value === true;
  }
  if (parameter.type === 'str' || (parameter.type === 'float' && typeof value === 'string')) {
    return value === null || value === undefined ? '' : String(value);
  }
  if (value === null || value === undefined) {
    return parameter.type === 'json' ? 'null' : '';
  }
  return JSON.stringify(value);
}

/** The value in an input, or what is wrong with it. */
export function read(parameter: Parameter, raw: Raw): Read {
  if (typeof raw === 'boolean') {
    return { value: raw };
  }
  const text = raw.trim();
  switch (parameter.type) {
    case 'str':
      return { value: raw };
    case 'int':
      return /^[+-]?\d+$/.test(text) && Number.isSafeInteger(Number(text))
        ? { value: Number(text) }
        : { error: 'Give a whole number, such as 2024.' };
    case 'float':
      // JSON has no such numbers: they travel as these words.
      if (/^(nan|-?inf)$/.test(text)) {
        return { value: text };
      }
      return text !== '' && Number.isFinite(Number(text))
        ? { value: Number(text) }
        : { error: 'Give a number, such as 0.5.' };
    case 'list':
      return json(text, Array.isArray, 'Give a list, such as ["FR", "DE"].');
    case 'dict':
      return json(
        text,
        value => typeof value === 'object' && value !== null && !Array.isArray(value),
        'Give names with values, such as {"FR": 1}.'
      );
    default:
      return json(text, () => true, 'Give a value as JSON, such as 1, "text" or null.');
  }
}

function json(text: string, fits: (value: unknown) => boolean, error: string): Read {
  try {
    const value: unknown = JSON.parse(text);
    return fits(value) ? { value } : { error };
  } catch {
    return { error };
  }
}

/**
 * The values that differ from the notebook's own, and what is wrong where.
 *
 * An untouched input sends nothing: the notebook's default then stays the
 * notebook's to change in its next version.
 */
export function collect(
  parameters: Parameter[],
  raws: Record<string, Raw>
): { values: Record<string, unknown>; errors: Record<string, string> } {
  const values: Record<string, unknown> = {};
  const errors: Record<string, string> = {};
  for (const parameter of parameters) {
    const untouched = write(parameter, parameter.default);
    const raw = raws[parameter.name] ?? untouched;
    if (raw === untouched) {
      continue;
    }
    const result = read(parameter, raw);
    if ('error' in result) {
      errors[`parameters.${parameter.name}`] = result.error;
    } else {
      values[parameter.name] = result.value;
    }
  }
  return { values, errors };
}
