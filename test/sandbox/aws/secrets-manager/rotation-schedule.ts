import { AwsError } from '../service.ts';

/** User guide, "Schedule expressions in Secrets Manager rotation". All in UTC. */

const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;
const MIN_INTERVAL_HOURS = 4;
const MAX_INTERVAL_DAYS = 1000;
/** Long enough for every expression that matches at all: 29 February on a given weekday. */
const CRON_HORIZON_DAYS = 40 * 366;

export interface RotationRules {
  readonly AutomaticallyAfterDays?: number | undefined;
  readonly ScheduleExpression?: string | undefined;
  readonly Duration?: string | undefined;
}

type Schedule =
  | { readonly kind: 'days'; readonly days: number }
  | { readonly kind: 'hours'; readonly hours: number }
  | { readonly kind: 'cron'; readonly hours: readonly number[]; readonly onDay: (day: Date) => boolean };

/** @throws AwsError InvalidParameterException */
export function checkRules(rules: RotationRules): void {
  const schedule = scheduleOf(rules);
  const starts = schedule.kind === 'cron' ? schedule.hours : [0];
  const isTooLong = starts.some((hour) => hour + windowHours(schedule, rules.Duration, hour) > 24);
  if (isTooLong || (schedule.kind === 'hours' && windowHours(schedule, rules.Duration, 0) > schedule.hours))
    throw invalid('The rotation window must not extend into the next UTC day or the next rotation window.');
}

/** DescribeSecret, NextRotationDate: the latest moment at which the next rotation happens, the end of its window. */
export function nextRotationMs(rules: RotationRules, fromMs: number): number {
  const schedule = scheduleOf(rules);
  const midnight = Math.floor(fromMs / DAY_MS) * DAY_MS;
  const end = (startMs: number) => startMs + windowHours(schedule, rules.Duration, hourOf(startMs)) * HOUR_MS - 1000;
  switch (schedule.kind) {
    case 'days':
      return end(midnight + schedule.days * DAY_MS);
    case 'hours': {
      const intervalMs = schedule.hours * HOUR_MS;
      return end(midnight + (Math.floor((fromMs - midnight) / intervalMs) + 1) * intervalMs);
    }
    case 'cron': {
      for (let day = midnight; day < midnight + CRON_HORIZON_DAYS * DAY_MS; day += DAY_MS) {
        if (!schedule.onDay(new Date(day))) continue;
        const start = schedule.hours.map((hour) => day + hour * HOUR_MS).find((startMs) => startMs > fromMs);
        if (start !== undefined) return end(start);
      }
      throw invalid('The schedule expression never matches.');
    }
  }
}

function scheduleOf(rules: RotationRules): Schedule {
  const { AutomaticallyAfterDays: days, ScheduleExpression: expression } = rules;
  if (days !== undefined && expression !== undefined)
    throw invalid('You can specify AutomaticallyAfterDays or ScheduleExpression, but not both.');
  if (days !== undefined) return { kind: 'days', days };
  if (expression === undefined) throw invalid('You must specify AutomaticallyAfterDays or ScheduleExpression.');
  const rate = /^rate\((\d+) (hour|day)s?\)$/.exec(expression);
  if (rate) {
    const count = Number(rate[1]);
    const isDays = rate[2] === 'day';
    if (count * (isDays ? 24 : 1) < MIN_INTERVAL_HOURS || count > MAX_INTERVAL_DAYS * (isDays ? 1 : 24))
      throw invalid('A rate must be between 4 hours and 1000 days.');
    return isDays ? { kind: 'days', days: count } : { kind: 'hours', hours: count };
  }
  const cron = /^cron\((.*)\)$/.exec(expression)?.[1]?.trim().split(/\s+/);
  if (!cron) throw invalid('A schedule expression is rate(…) or cron(…).');
  return cronOf(cron);
}

/** `0 hours day-of-month month day-of-week *` */
function cronOf(fields: readonly string[]): Schedule {
  const [minute, hour, dayOfMonth, month, dayOfWeek, year] = fields;
  if (fields.length !== 6 || minute !== '0' || year !== '*' || !hour || !dayOfMonth || !month || !dayOfWeek)
    throw invalid('A cron expression has six fields; the minute must be 0 and the year *.');
  if ((dayOfMonth === '?') === (dayOfWeek === '?'))
    throw invalid('Exactly one of day-of-month and day-of-week must be ?.');
  const hours = [...numbers(hour, 0, 23)].sort((left, right) => left - right);
  const gaps = hours.map((each, index) => (hours[index + 1] ?? (hours[0] ?? 0) + 24) - each);
  if (hours.length > 1 && Math.min(...gaps) < MIN_INTERVAL_HOURS)
    throw invalid('A secret can be rotated every four hours at most.');
  const months = numbers(month, 1, 12, [
    'JAN',
    'FEB',
    'MAR',
    'APR',
    'MAY',
    'JUN',
    'JUL',
    'AUG',
    'SEP',
    'OCT',
    'NOV',
    'DEC',
  ]);
  const onDay = dayOfMonth === '?' ? weekdayOf(dayOfWeek) : dayOfMonthOf(dayOfMonth);
  return { kind: 'cron', hours, onDay: (day) => months.has(day.getUTCMonth() + 1) && onDay(day) };
}

function dayOfMonthOf(field: string): (day: Date) => boolean {
  if (field === 'L') return isInLastDays(1);
  const days = numbers(field, 1, 31);
  return (day) => days.has(day.getUTCDate());
}

/** Sunday is 1. `MON#2` is the second one of the month, `6L` the last Friday. */
function weekdayOf(field: string): (day: Date) => boolean {
  const names = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];
  const [, dayName, nth] = /^(\w+)#([1-5])$/.exec(field) ?? [];
  const last = /^(\w+)L$/.exec(field)?.[1];
  const days = numbers(dayName ?? last ?? field, 1, 7, names);
  const isLast = isInLastDays(7);
  return (day) =>
    days.has(day.getUTCDay() + 1) &&
    (nth === undefined || Math.ceil(day.getUTCDate() / 7) === Number(nth)) &&
    (last === undefined || isLast(day));
}

function isInLastDays(count: number): (day: Date) => boolean {
  return (day) => new Date(day.getTime() + count * DAY_MS).getUTCMonth() !== day.getUTCMonth();
}

/** `*`, `1`, `1,3`, `1-5`, `8/4`, `* /4`, and names for numbers. */
function numbers(field: string, min: number, max: number, names: readonly string[] = []): ReadonlySet<number> {
  const numberOf = (text: string) => {
    const named = names.indexOf(text.toUpperCase());
    const value = named >= 0 ? named + min : /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw invalid(`${text} is not valid in a cron expression.`);
    return value;
  };
  const found = new Set<number>();
  for (const part of field.split(',')) {
    const [range = '', stepText] = part.split('/');
    const [from = '', to] = range.split('-');
    const start = range === '*' ? min : numberOf(from);
    const end = to !== undefined ? numberOf(to) : range === '*' || stepText !== undefined ? max : start;
    const step = stepText === undefined ? 1 : Number(stepText);
    if (!(step >= 1)) throw invalid(`${part} is not valid in a cron expression.`);
    for (let value = start; value <= end; value += step) found.add(value);
  }
  return found;
}

/** How long the window that begins at `startHour` is open. */
function windowHours(schedule: Schedule, duration: string | undefined, startHour: number): number {
  if (duration !== undefined) return Number(duration.slice(0, -1));
  const isHourly = schedule.kind === 'hours' || (schedule.kind === 'cron' && schedule.hours.length > 1);
  return isHourly ? 1 : 24 - startHour;
}

function hourOf(epochMs: number): number {
  return new Date(epochMs).getUTCHours();
}

function invalid(message: string): AwsError {
  return new AwsError('InvalidParameterException', message);
}
