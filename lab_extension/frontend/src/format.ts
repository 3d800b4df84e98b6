/** Times for people. Pure. */

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
