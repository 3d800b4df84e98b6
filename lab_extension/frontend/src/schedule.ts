/** Schedules in words people use, and as the five cron fields. Pure. */

export type Preset = 'daily' | 'weekdays' | 'weekly' | 'monthly' | 'cron';

export interface ScheduleChoice {
  preset: Preset;
  /** `HH:MM`, 24 hours. */
  time: string;
  /** Day of the week for `weekly`, as cron counts: 0 is Sunday. */
  weekday: number;
  /** Day of the month for `monthly`: 1 to 28, the days every month has. */
  day: number;
  /** What is in the cron field, for `cron`. */
  cron: string;
  timezone: string;
}

export const LAST_DAY_OF_EVERY_MONTH = 28;

/** Early on working days: when most production runs, and the office sleeps. */
export function defaultChoice(timezone: string): ScheduleChoice {
  return { preset: 'weekdays', time: '06:00', weekday: 1, day: 1, cron: '0 6 * * 1-5', timezone };
}

/** The cron fields of a choice; empty where a time is missing. */
export function toCron(choice: ScheduleChoice): string {
  if (choice.preset === 'cron') {
    return choice.cron.trim();
  }
  const time = /^(\d{1,2}):(\d{2})/.exec(choice.time);
  if (!time) {
    return '';
  }
  const at = `${Number(time[2])} ${Number(time[1])}`;
  switch (choice.preset) {
    case 'daily':
      return `${at} * * *`;
    case 'weekdays':
      return `${at} * * 1-5`;
    case 'weekly':
      return `${at} * * ${choice.weekday}`;
    case 'monthly':
      return `${at} ${choice.day} * *`;
  }
}

/** The choice that a schedule came from, or would have come from. */
export function fromCron(cron: string, timezone: string): ScheduleChoice {
  const choice = { ...defaultChoice(timezone), cron };
  const fields = cron.trim().split(/\s+/);
  const number = (text: string, low: number, high: number): number | null =>
    /^\d{1,2}$/.test(text) && Number(text) >= low && Number(text) <= high ? Number(text) : null;
  const minute = number(fields[0] ?? '', 0, 59);
  const hour = number(fields[1] ?? '', 0, 23);
  if (fields.length !== 5 || minute === null || hour === null || fields[3] !== '*') {
    return { ...choice, preset: 'cron' };
  }
  choice.time = `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`;
  const [day, weekday] = [fields[2], fields[4]];
  if (day === '*' && weekday === '*') {
    return { ...choice, preset: 'daily' };
  }
  if (day === '*' && weekday === '1-5') {
    return { ...choice, preset: 'weekdays' };
  }
  const onWeekday = number(weekday, 0, 6);
  if (day === '*' && onWeekday !== null) {
    return { ...choice, preset: 'weekly', weekday: onWeekday };
  }
  const onDay = number(day, 1, LAST_DAY_OF_EVERY_MONTH);
  if (weekday === '*' && onDay !== null) {
    return { ...choice, preset: 'monthly', day: onDay };
  }
  return { ...choice, preset: 'cron' };
}

/** The browser's own time zone. */
export function localTimezone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
}

/** Every time zone the browser knows, UTC first. */
export function timezones(): string[] {
  const known = Intl.supportedValuesOf?.('timeZone') ?? [];
  return ['UTC', ...known.filter(zone => zone !== 'UTC')];
}
