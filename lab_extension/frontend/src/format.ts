/** Times and sizes for people. Pure. */

/** `Mon 24 Nov, 06:00 CET`: an instant as the schedule's own time zone has it. */
export function inZone(instant: string, timezone: string | undefined, locale?: string): string {
  const options: Intl.DateTimeFormatOptions = {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'short'
  };
  const date = new Date(instant);
  if (Number.isNaN(date.getTime())) {
    return instant;
  }
  try {
    return new Intl.DateTimeFormat(locale, { ...options, timeZone: timezone }).format(date);
  } catch {
    // A zone that the service knows and this browser does not.
    return new Intl.DateTimeFormat(locale, options).format(date);
  }
}

/** A schedule's sentence without the time zone, for where that is told beside it. */
export function withoutZone(sentence: string, timezone: string): string {
  return sentence.endsWith(` (${timezone})`) ? sentence.slice(0, -timezone.length - 3) : sentence;
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1]
];

/** `in 3 hours`, `2 minutes ago`. */
export function relative(instant: string, now: number, locale?: string): string {
  const seconds = Math.round((new Date(instant).getTime() - now) / 1000);
  const words = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size || unit === 'second') {
      return words.format(Math.trunc(seconds / size), unit);
    }
  }
  return instant;
}

/** `4 s`, `2 min 5 s`, `1 h 3 min`: how long something took. */
export function duration(from: string, to: string): string {
  const seconds = Math.max(0, Math.round((Date.parse(to) - Date.parse(from)) / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (hours) {
    return `${hours} h ${minutes} min`;
  }
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];

/** `3.2 GB`: in powers of 1024 under these names, as JupyterLab's file browser has them. */
export function size(bytes: number, locale?: string): string {
  let unit = 0;
  let value = bytes;
  // What would be rounded to 1024 is one of the next unit.
  while (unit < UNITS.length - 1 && value >= 1023.95) {
    value /= 1024;
    unit += 1;
  }
  const maximumFractionDigits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toLocaleString(locale, { maximumFractionDigits })} ${UNITS[unit]}`;
}

/** `25 Nov 2026, 06:00`: an instant by this browser's clock, if wanted with its seconds. */
export function local(instant: string, locale?: string, seconds = false): string {
  const date = new Date(instant);
  if (Number.isNaN(date.getTime())) {
    return instant;
  }
  return new Intl.DateTimeFormat(locale, {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: seconds ? '2-digit' : undefined,
    hourCycle: 'h23'
  }).format(date);
}

const SPANS: [Intl.NumberFormatOptions['unit'], number][] = [
  ['day', 86400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1]
];

/** `15 minutes`, `7 days`: a length of time, in the largest unit that it is a multiple of. */
export function span(seconds: number, locale?: string): string {
  const [unit, length] = SPANS.find(([, each]) => seconds >= each && seconds % each === 0) ?? [
    'second',
    1
  ];
  const format = new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' });
  return format.format(seconds / length);
}

/** The locale of Lab's language: it writes `fr_FR`, and `default` where none was chosen. */
export function localeOf(languageCode: string): string {
  const code = languageCode.replace('_', '-');
  try {
    return Intl.DateTimeFormat.supportedLocalesOf([code]).length ? code : 'en';
  } catch {
    return 'en';
  }
}
