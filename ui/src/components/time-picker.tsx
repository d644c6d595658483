// The time range: presets, or anything typed.

import { useState } from 'react';

import { PRESETS, type TimeRange, describe, parseRange } from '../lib/time';
import { Dialog } from './dialog';

export function TimePicker({ range, onChange }: { range: TimeRange; onChange: (range: TimeRange) => void }) {
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState('');
  const [unclear, setUnclear] = useState(false);
  const choose = (chosen: TimeRange | null) => {
    if (!chosen) {
      setUnclear(true);
      return;
    }
    onChange(chosen);
    setOpen(false);
    setUnclear(false);
    setTyped('');
  };
  return (
    <>
      <button type="button" onClick={() => setOpen(true)} aria-haspopup="dialog" data-testid="time-picker">
        {describe(range)}
      </button>
      {open && (
        <Dialog label="Time range" onClose={() => setOpen(false)}>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              choose(parseRange(typed, Date.now()));
            }}
          >
            <input
              autoFocus
              value={typed}
              onChange={(event) => setTyped(event.target.value)}
              placeholder="2h, today, 2026-11-21 14:00 to 15:00, two timestamps …"
              aria-label="Time range"
              aria-invalid={unclear}
            />
          </form>
          {unclear && <span className="bad">Not a time range. Try 90m, yesterday, or 2026-11-21 14:00 to 15:00.</span>}
          <div className="legend">
            {PRESETS.map((preset) => (
              <button type="button" key={preset} onClick={() => choose({ from: `now-${preset}`, to: 'now' })}>
                {preset}
              </button>
            ))}
          </div>
        </Dialog>
      )}
    </>
  );
}
