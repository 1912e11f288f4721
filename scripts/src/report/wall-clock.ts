// Times of day as a reader's clock shows them, in the zone of the machine that drew the page; UTC on hover.
import { type Markup, markup } from './markup.js';

const UNKNOWN = 'unknown';

const formatOf = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat('en-GB', options);
const CLOCK = { hour: '2-digit', minute: '2-digit', second: '2-digit' } as const;

/** `Europe/Warsaw` */
export const zoneName = (): string => formatOf({}).resolvedOptions().timeZone;

/** `07:38:30` */
export const clockAt = (ms: number): string => (Number.isFinite(ms) ? formatOf(CLOCK).format(ms) : UNKNOWN);

const utcOf = (ms: number): string => `${new Date(ms).toISOString().replace('T', ' ').replace('Z', '')} UTC`;

function timeTag(ms: number, text: string): Markup {
  return markup`<time datetime="${new Date(ms).toISOString()}" title="${utcOf(ms)}">${text}</time>`;
}

/** `07:38:30.322` */
export function timeOfDay(ms: number): Markup {
  if (!Number.isFinite(ms)) return markup`${UNKNOWN}`;
  return timeTag(ms, formatOf({ ...CLOCK, fractionalSecondDigits: 3 }).format(ms));
}

/** `27 November 2026 at 07:38:30 CET` */
export function dayAndTime(ms: number): Markup {
  if (!Number.isFinite(ms)) return markup`${UNKNOWN}`;
  const day = { day: 'numeric', month: 'long', year: 'numeric' } as const;
  return timeTag(ms, formatOf({ ...day, ...CLOCK, timeZoneName: 'short' }).format(ms));
}
