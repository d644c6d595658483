// SQL: a statement over the views, and its rows.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useId, useMemo, useRef, useState } from 'react';

import { ApiError, api } from '../../api/client';
import type { Answer, SqlAnswer } from '../../api/types';
import { insertAt } from '../../components/search-bar/insert';
import { SqlEditor } from '../../components/sql-editor/sql-editor';
import { Skeleton } from '../../components/states';
import { count } from '../../lib/format';
import type { Mistake } from '../../lib/query/types';
import { lineAt, wordAt } from '../../lib/sql/tokens';
import { useTitle } from '../../lib/title';
import { rangeOf } from '../../router';
import { Loaded, Problem } from '../loaded';
import { SampleNote } from '../sample';
import { fileName } from './cells';
import { EXAMPLES } from './examples';
import { Rows } from './rows';
import { Views } from './views';
import './sql.css';

const LIMITS = [1_000, 10_000];
/** Whoever waits longer than this wants to know for how long. */
const TELLS_MS = 1_000;

export function SqlPage() {
  const { q: ran = '' } = useSearch({ from: '/sql' });
  const range = rangeOf(useSearch({ strict: false }));
  const navigate = useNavigate();
  const client = useQueryClient();
  const noteId = useId();
  const field = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useState(ran);
  const [limit, setLimit] = useState(LIMITS[0] ?? 0);
  useEffect(() => setText((now) => (now.trim() === ran ? now : ran)), [ran]);
  useTitle('SQL');

  const views = useQuery({ queryKey: ['sql views'], queryFn: ({ signal }) => api.sqlViews(signal), staleTime: Infinity });
  const names = useMemo(() => new Set(views.data?.data.views.map((view) => view.name)), [views.data]);
  const key = ['sql', ran, range, limit];
  const answer = useQuery({ queryKey: key, queryFn: ({ signal }) => api.sql({ query: ran, limit, ...range }, signal), enabled: ran !== '', staleTime: Infinity, retry: false });

  const run = (statement = text) => {
    const wanted = statement.trim();
    if (wanted === '') return;
    setText(statement);
    if (wanted === ran) void answer.refetch();
    else void navigate({ to: '/sql', search: (before) => ({ ...before, q: wanted }) });
  };
  const stop = () => void client.cancelQueries({ queryKey: key });
  const insert = (name: string) => {
    const element = field.current;
    if (!element) return;
    const [from, to] = [element.selectionStart, element.selectionEnd];
    const before = /[\p{L}\p{N}_]$/u.test(text.slice(0, from)) ? ' ' : '';
    insertAt(element, from, to, before + name);
  };

  const problem = answer.error instanceof ApiError ? answer.error.problem : null;
  // A mistake is that of the statement that was run.
  const mistakes: Mistake[] = text.trim() === ran && !answer.isFetching ? (problem?.errors ?? []).map((mistake) => ({ ...mistake, ...shifted(text, mistake) })) : [];
  const fix = (mistake: Mistake) => {
    if (field.current && mistake.fix) insertAt(field.current, mistake.from, mistake.to, mistake.fix.replace);
  };

  return (
    <div className="page fill" data-testid="sql-page">
      <h1 className="visually-hidden">SQL</h1>
      <div className="sql">
        <div className="sql-main">
          <SqlEditor text={text} names={names} mistakes={mistakes} field={field} noteId={noteId} onText={setText} onRun={() => run()} onStop={stop} />
          <div className="head sql-tools">
            {answer.isFetching ? (
              <button type="button" onClick={stop}>
                Stop <kbd>Esc</kbd>
              </button>
            ) : (
              <button type="button" className="primary" aria-disabled={text.trim() === ''} onClick={() => run()}>
                Run <kbd>Ctrl Enter</kbd>
              </button>
            )}
            <label>
              at most{' '}
              <select aria-label="Most rows" value={limit} onChange={(event) => setLimit(Number(event.target.value))}>
                {LIMITS.map((rows) => (
                  <option key={rows} value={rows}>
                    {rows.toLocaleString('en')} rows
                  </option>
                ))}
              </select>
            </label>
            <select aria-label="Examples" value="" onChange={(event) => run(EXAMPLES[Number(event.target.value)]?.statement)}>
              <option value="" disabled>
                Examples …
              </option>
              {EXAMPLES.map((example, index) => (
                <option key={example.title} value={index}>
                  {example.title}
                </option>
              ))}
            </select>
            <span className="spacer" />
            {answer.isFetching && <Waiting />}
            {answer.data && !answer.isFetching && <Told answer={answer.data} />}
            {answer.data && answer.data.data.columns.length > 0 && <Download statement={{ query: ran, limit, ...range }} />}
          </div>
          <div id={noteId} role="status" className="query-mistakes">
            {mistakes.map((mistake) => (
              <div key={mistake.message}>
                <span className="bad">
                  Line {lineAt(text, mistake.from).line}, column {lineAt(text, mistake.from).column}: {mistake.message}
                </span>
                {mistake.fix && (
                  <button type="button" onClick={() => fix(mistake)}>
                    Write <code>{mistake.fix.replace}</code>
                  </button>
                )}
              </div>
            ))}
          </div>
          <SampleNote range={range} also="Of spans the views show what is kept; span_metrics counts all." />
          {ran === '' ? (
            <Examples onChoose={run} />
          ) : answer.isFetching ? (
            <Skeleton height={240} />
          ) : answer.isError ? (
            mistakes.length === 0 && <Problem error={answer.error} title={problem?.title ?? 'The statement failed'} retry={() => void answer.refetch()} />
          ) : answer.data ? (
            <Found answer={answer.data} />
          ) : (
            <p className="muted">Stopped. Nothing was kept of it.</p>
          )}
        </div>
        <aside className="sql-side" aria-label="Views">
          <Loaded answer={views} heights={[320]}>
            {(data) => <Views data={data} onInsert={insert} />}
          </Loaded>
        </aside>
      </div>
    </div>
  );
}

/** Where a mistake is in the text, which may have space before the statement that was run. */
function shifted(text: string, mistake: { from: number; to: number }): { from: number; to: number } {
  const space = text.length - text.trimStart().length;
  return wordAt(text, { from: mistake.from + space, to: mistake.to + space });
}

function Found({ answer: { data, meta } }: { answer: Answer<SqlAnswer> }) {
  return (
    <>
      {meta.warnings.map((warning) => (
        <p key={warning} className="query-warning" role="note">
          {warning.charAt(0).toUpperCase() + warning.slice(1)}.
        </p>
      ))}
      {data.rows.length > 0 ? <Rows answer={data} /> : <p className="muted">No rows. The views show what began in the time chosen above.</p>}
    </>
  );
}

function Told({ answer: { data, meta } }: { answer: Answer<SqlAnswer> }) {
  const rows = `${data.rows.length.toLocaleString('en')} ${data.rows.length === 1 ? 'row' : 'rows'}`;
  return (
    <span className="muted" role="status">
      {rows} in {meta.elapsed_ms} ms{meta.scanned ? `, ${count(meta.scanned)} stored rows looked at` : ''}
    </span>
  );
}

/** How long a statement runs already. */
function Waiting() {
  const [since] = useState(() => Date.now());
  const [now, setNow] = useState(since);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  return <span className="muted">{now - since >= TELLS_MS ? `running for ${Math.floor((now - since) / 1000)} s` : ''}</span>;
}

function Download({ statement }: { statement: Parameters<typeof api.sqlCsv>[0] }) {
  const [state, setState] = useState<'ready' | 'running' | 'failed'>('ready');
  const save = async () => {
    setState('running');
    try {
      const address = URL.createObjectURL(await api.sqlCsv(statement));
      const link = document.createElement('a');
      link.href = address;
      link.download = fileName(new Date());
      link.click();
      URL.revokeObjectURL(address);
      setState('ready');
    } catch {
      setState('failed');
    }
  };
  return (
    <button type="button" aria-disabled={state === 'running'} onClick={() => state !== 'running' && void save()}>
      {state === 'failed' ? 'CSV failed; again' : state === 'running' ? 'CSV …' : 'CSV'}
    </button>
  );
}

function Examples({ onChoose }: { onChoose: (statement: string) => void }) {
  return (
    <section className="sql-examples" aria-label="Examples">
      <h2>To begin with</h2>
      <ul>
        {EXAMPLES.map((example) => (
          <li key={example.title}>
            <button type="button" onClick={() => onChoose(example.statement)}>
              <b>{example.title}</b>
              <code>{example.statement}</code>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
