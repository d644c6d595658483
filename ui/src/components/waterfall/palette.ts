// The colours of a waterfall. Asking the document for a token costs, so it is asked once a theme.

import { onServiceColor, serviceColor, token } from '../../lib/theme';

export type Palette = ReturnType<typeof palette>;

export function palette(services: { color: number }[]) {
  return {
    bg: token('--bg'),
    bg2: token('--bg-2'),
    line: token('--bg-3'),
    text: token('--text'),
    muted: token('--text-2'),
    bad: token('--bad'),
    chosen: token('--accent-2'),
    critical: token('--critical'),
    focus: token('--focus'),
    services: services.map((service) => serviceColor(service.color)),
    onServices: services.map((service) => onServiceColor(service.color)),
  };
}
