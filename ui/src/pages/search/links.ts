// Where the search leads.

import { linkOptions } from '@tanstack/react-router';

/** A trace, opened at a span. */
export const traceAt = (traceId: string, span?: string) => linkOptions({ to: '/traces/$traceId', params: { traceId }, search: { span, filter: undefined } });

/** The id in a text that is nothing but a trace's id, or a `traceparent`. */
export const traceIdIn = (text: string): string | undefined => /^(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-|$)/i.exec(text.trim())?.[1]?.toLowerCase();
