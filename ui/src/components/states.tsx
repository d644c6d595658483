// What is shown while there is nothing to show: loading, failure, emptiness.

import { type ReactNode, useState } from 'react';

export function Skeleton({ height }: { height: number }) {
  return <div className="skeleton" style={{ height }} role="status" aria-label="Loading" />;
}

interface FailureProps {
  title: string;
  detail: string;
  requestId?: string | undefined;
  retry: () => void;
}

export function Failure({ title, detail, requestId, retry }: FailureProps) {
  return (
    <div className="problem" role="alert">
      <div>
        <b>{title}</b>
        {detail !== title && <div>{detail}</div>}
        {requestId && <div className="muted">request {requestId}</div>}
      </div>
      <span className="spacer" />
      <button type="button" onClick={retry}>
        Retry
      </button>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="empty">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** In place of rows when the filter leaves none. */
export function NoMatch({ what, filter, total, clear }: { what: string; filter: string; total: number; clear: () => void }) {
  return (
    <Empty title={`No ${what} has “${filter}” in its name`}>
      <button type="button" onClick={clear}>
        Show all {total}
      </button>
    </Empty>
  );
}

export function CopyLine({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard.writeText(text).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    });
  };
  return (
    <div className="copy">
      <pre>{text}</pre>
      <button type="button" onClick={copy} aria-label={`Copy ${label}`}>
        {copied ? 'Copied' : 'Copy'}
      </button>
    </div>
  );
}
