/**
 * Secrets Manager's rules for RotationRules (User Guide, "Schedule expressions" and "Rotation window"): minute 0, every
 * year, UTC; the window ends before the day does and before the next one opens.
 */

/** @returns what is wrong with it, and what would be right */
export function faultOfSchedule(schedule: string, window: string): string | undefined {
  const cron = /^cron\((.*)\)$/.exec(schedule)?.[1]?.trim().split(/\s+/);
  if (cron === undefined || cron.length !== 6)
    // rate() would do as well, but may still fire on the old date after it was changed.
    return `schedule: "${schedule}" must read cron(0 hour day month weekday *), UTC, such as cron(0 3 ? * SUN *)`;
  const [minute = '', hour = '', day = '', month = '', weekday = '', year = ''] = cron;

  if (minute !== '0') return `schedule: "${schedule}" has the minute "${minute}"; Secrets Manager takes 0 alone`;
  if (year !== '*') return `schedule: "${schedule}" has the year "${year}"; Secrets Manager takes * alone`;
  const hours = hoursOf(hour);
  if (hours === undefined)
    return `schedule: "${schedule}" has the hour "${hour}"; right are 0 to 23, a list (1,13), a range (1-4), or a step (0/8)`;
  if (!isField(day, 1, 31, /^(L|\d{1,2}W)$/))
    return `schedule: "${schedule}" has the day "${day}"; right are 1 to 31, L, ?, *, a list, a range, or a step (1/10)`;
  if (!isField(month, 1, 12, undefined, MONTHS))
    return `schedule: "${schedule}" has the month "${month}"; right are 1 to 12, JAN to DEC, *, a list, a range, or a step`;
  if (!isField(weekday, 1, 7, /^([1-7]|[A-Z]{3})(#[1-5]|L)$/, WEEKDAYS))
    return `schedule: "${schedule}" has the weekday "${weekday}"; right are 1 to 7, SUN to SAT, ?, *, a list, a range, or 2#1`;
  if ((day === '?') === (weekday === '?'))
    return `schedule: "${schedule}" must have ? for one of day and weekday, and not for both`;

  const length = Number(/^(\d{1,2})h$/.exec(window)?.[1]);
  if (!(length >= 1 && length <= 24)) return `window: "${window}" must read 1h to 24h`;
  const last = Math.max(...hours);
  if (last + length > 24)
    return `window: "${window}" from ${last}:00 crosses midnight UTC; at most ${24 - last}h, or an earlier hour`;
  const gap = Math.min(...hours.slice(1).map((each, index) => each - (hours[index] ?? 0)));
  if (length > gap) return `window: "${window}" runs into the next one, ${gap} h later; at most ${gap}h`;
  return undefined;
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

/** Each hour at which a window opens, in order. */
function hoursOf(field: string): readonly number[] | undefined {
  const hours = field.split(',').map((part) => {
    if (part === '*') return span(0, 23, 1);
    const [, from = '', to, step] = /^(\d{1,2})(?:-(\d{1,2}))?(?:\/(\d{1,2}))?$/.exec(part) ?? [];
    if (from === '') return [];
    return span(
      Number(from),
      to === undefined ? (step === undefined ? Number(from) : 23) : Number(to),
      Number(step ?? 1),
    );
  });
  if (hours.some((some) => some.length === 0)) return undefined;
  return [...new Set(hours.flat())].sort((a, b) => a - b);
}

const span = (from: number, to: number, step: number): readonly number[] =>
  to > 23 || step < 1
    ? []
    : Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);

/** A list of values, ranges and steps, `*` or `?`. */
function isField(field: string, min: number, max: number, also?: RegExp, names: readonly string[] = []): boolean {
  const value = (text: string) =>
    names.includes(text) ? names.indexOf(text) + 1 : /^\d{1,2}$/.test(text) ? Number(text) : 0;
  const fits = (text: string) => value(text) >= min && value(text) <= max;
  if (field === '?') return names !== MONTHS;
  return field.split(',').every((part) => {
    if (part === '*' || also?.test(part)) return true;
    const [range = '', step, ...rest] = part.split('/');
    const ends = range.split('-');
    return (
      rest.length === 0 &&
      (step === undefined || /^[1-9]\d?$/.test(step)) &&
      ends.length <= 2 &&
      ends.every(fits) &&
      value(ends[0] ?? '') <= value(ends.at(-1) ?? '')
    );
  });
}
