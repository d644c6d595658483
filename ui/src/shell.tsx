// The frame around every page: rail, time, theme, palette, keyboard.

import { Link, Outlet, useLocation, useNavigate, useSearch } from '@tanstack/react-router';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';

import { api } from './api/client';
import { Dialog } from './components/dialog';
import { Empty } from './components/states';
import { TimePicker } from './components/time-picker';
import { type Theme, applyTheme, storedTheme } from './lib/theme';
import { DEFAULT_RANGE, zoomOut } from './lib/time';
import { useTitle } from './lib/title';

const KEYS: [string, string][] = [
  ['/', 'search or filter'],
  ['⌘K', 'go to a service, a page, or a trace by its id'],
  ['g s   g t', 'services, traces'],
  ['g e   g p   g q   g ,', 'explore, profiles, SQL, settings'],
  ['j k Enter', 'down, up, open'],
  ['z', 'twice the time range'],
  ['t', 'dark, light, system'],
  ['Search: Ctrl Space', 'what can be written here; Tab takes it'],
  ['Search: Escape', 'stop looking; what was found stays'],
  ['Search: Alt Enter', 'mend the mistake as proposed'],
  ['Heatmap: ↑ ↓ ← →', 'walk; with Shift select, Enter searches there'],
  ['SQL: Ctrl Enter', 'run the statement; Escape stops it'],
  ['Trace: ↑ ↓ ← →', 'walk, collapse, expand'],
  ['Trace: + − 0', 'zoom in, out, all'],
  ['Trace: c  e  f', 'critical path, next error, find'],
  ['Trace: o  1  5', 'hotspots of the span, waterfall, profile of the trace'],
  ['Profile: ↑ ↓ ← →', 'walk; Enter zooms, Escape shows all, m is the menu'],
  ['Profiles: i  d', 'with waits for work, against the time before'],
  ['Profile: s  t', 'callers and callees of the frame, table beside'],
  ['?', 'this list'],
];

const THEMES: Theme[] = ['system', 'light', 'dark'];
const REFRESH_MS = 10_000;

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.matches('input, textarea, select') || target.isContentEditable);

export function Shell() {
  const search = useSearch({ strict: false });
  const range = { from: search.from ?? DEFAULT_RANGE.from, to: search.to ?? DEFAULT_RANGE.to };
  const path = useLocation({ select: (location) => location.pathname });
  const navigate = useNavigate();
  const client = useQueryClient();
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const [dialog, setDialog] = useState<'keys' | 'palette' | null>(null);
  const [live, setLive] = useState(true);

  const setRange = (next: { from: string; to: string }) => void navigate({ to: '.', search: (before) => ({ ...before, ...next }) });
  const chooseTheme = (next: Theme) => {
    applyTheme(next);
    setTheme(next);
  };

  useEffect(() => {
    if (!live || range.to !== 'now') return;
    const timer = setInterval(() => {
      if (!document.hidden) void client.invalidateQueries({ queryKey: ['live'] });
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, [live, range.to, client]);

  useEffect(() => {
    let after = '';
    const onKey = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key === 'k') {
        event.preventDefault();
        setDialog('palette');
        return;
      }
      if (event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return;
      const combination = after + event.key;
      after = event.key === 'g' ? 'g' : '';
      if (combination === 'gs') void navigate({ to: '/' });
      else if (combination === 'gt') void navigate({ to: '/search' });
      else if (combination === 'ge') void navigate({ to: '/explore' });
      else if (combination === 'gp') void navigate({ to: '/profiles' });
      else if (combination === 'gq') void navigate({ to: '/sql' });
      else if (combination === 'g,') void navigate({ to: '/settings' });
      else if (event.key === '?') setDialog('keys');
      else if (event.key === 'z') setRange(zoomOut(range, Date.now()));
      else if (event.key === 't') chooseTheme(THEMES[(THEMES.indexOf(storedTheme()) + 1) % THEMES.length] ?? 'system');
      else if (event.key === '/') {
        const field = document.querySelector<HTMLInputElement | HTMLTextAreaElement>('[data-find]');
        if (field) {
          event.preventDefault();
          field.focus();
          field.select();
        }
      }
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  });

  /** Marks a section on the pages below it; on its own page the link does so itself. */
  const within = (section: string) => (path.startsWith(section) ? { className: 'active', 'aria-current': true } : {});

  return (
    <div className="shell">
      <nav className="start" aria-label="Start">
        <Link to="/" className="brand">
          <img src="/icon.svg" alt="" /> Pitviper
        </Link>
      </nav>
      <header className="topbar">
        <button type="button" className="muted" onClick={() => setDialog('palette')}>
          Go to … <kbd>⌘K</kbd>
        </button>
        <span className="spacer" />
        <button type="button" aria-pressed={live} onClick={() => setLive(!live)} title="Refresh every ten seconds">
          Live
        </button>
        <TimePicker range={range} onChange={setRange} />
        <select value={theme} onChange={(event) => chooseTheme(event.target.value as Theme)} aria-label="Theme" data-testid="theme">
          {THEMES.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <button type="button" onClick={() => setDialog('keys')} aria-label="Keyboard shortcuts">
          ?
        </button>
      </header>
      <nav className="rail" aria-label="Pages">
        <Link to="/" activeOptions={{ exact: true, includeSearch: false }} {...within('/services/')}>
          Services
        </Link>
        <Link to="/search" activeOptions={{ includeSearch: false }} {...within('/traces/')}>
          Traces
        </Link>
        <Link to="/explore" activeOptions={{ includeSearch: false }}>
          Explore
        </Link>
        <Link to="/profiles" activeOptions={{ includeSearch: false }}>
          Profiles
        </Link>
        <Link to="/sql" activeOptions={{ includeSearch: false }}>
          SQL
        </Link>
        <span className="spacer" />
        <Link to="/settings" activeOptions={{ includeSearch: false }}>
          Settings
        </Link>
      </nav>
      <main>
        <Outlet />
      </main>
      {dialog === 'keys' && (
        <Dialog label="Keyboard" onClose={() => setDialog(null)}>
          <h1>Keyboard</h1>
          <div className="keys">
            {KEYS.map(([keys, what]) => [<kbd key={keys}>{keys}</kbd>, <span key={what}>{what}</span>])}
          </div>
        </Dialog>
      )}
      {dialog === 'palette' && <Palette onClose={() => setDialog(null)} />}
    </div>
  );
}

function Palette({ onClose }: { onClose: () => void }) {
  const [typed, setTyped] = useState('');
  const [chosen, setChosen] = useState(0);
  const navigate = useNavigate();
  const services = useQuery({ queryKey: ['palette'], queryFn: ({ signal }) => api.services({ from: 'now-7d', to: 'now' }, signal) });

  const id = /(?:^|-)([0-9a-f]{32})(?:$|-)/i.exec(typed.trim())?.[1];
  const options: { label: string; go: () => void }[] = [
    ...(id ? [{ label: `Trace ${id}`, go: () => void navigate({ to: '/traces/$traceId', params: { traceId: id.toLowerCase() } }) }] : []),
    { label: 'Services', go: () => void navigate({ to: '/' }) },
    { label: 'Traces', go: () => void navigate({ to: '/search' }) },
    { label: 'Explore', go: () => void navigate({ to: '/explore' }) },
    { label: 'Profiles', go: () => void navigate({ to: '/profiles' }) },
    { label: 'SQL', go: () => void navigate({ to: '/sql' }) },
    { label: 'Settings of agents', go: () => void navigate({ to: '/settings' }) },
    ...(services.data?.data ?? []).map((service) => ({
      label: service.name,
      go: () => void navigate({ to: '/services/$service', params: { service: service.name } }),
    })),
  ].filter((option) => id || option.label.toLowerCase().includes(typed.trim().toLowerCase()));
  const open = (index: number) => {
    options[index]?.go();
    onClose();
  };

  return (
    <Dialog label="Go to" onClose={onClose}>
      <input
        autoFocus
        value={typed}
        placeholder="A service, a page, a trace id or traceparent"
        aria-label="Go to"
        onChange={(event) => {
          setTyped(event.target.value);
          setChosen(0);
        }}
        onKeyDown={(event) => {
          if (event.key === 'ArrowDown') setChosen(Math.min(chosen + 1, options.length - 1));
          else if (event.key === 'ArrowUp') setChosen(Math.max(chosen - 1, 0));
          else if (event.key === 'Enter') open(chosen);
        }}
      />
      <div className="options" role="listbox" aria-label="Destinations">
        {options.slice(0, 12).map((option, index) => (
          <button type="button" key={option.label} role="option" aria-selected={index === chosen} onClick={() => open(index)}>
            {option.label}
          </button>
        ))}
        {options.length === 0 && <span className="muted">Nothing by that name.</span>}
      </div>
    </Dialog>
  );
}

export function NotFound() {
  useTitle('There is no such page');
  return (
    <div className="page">
      <Empty title="There is no such page">
        <Link to="/">To the services</Link>
      </Empty>
    </div>
  );
}
