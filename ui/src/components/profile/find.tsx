// A field to find functions with: what is written is looked for once the hand rests, as each search goes
// through the whole profile.

import { useEffect, useRef, useState } from 'react';

const REST_MS = 120;

export function Find({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const [text, setText] = useState(value);
  const told = useRef(value);
  const tell = useRef(onChange);
  tell.current = onChange;
  useEffect(() => {
    // Somebody else has changed it, such as a menu or Back.
    if (value === told.current) return;
    told.current = value;
    setText(value);
  }, [value]);
  useEffect(() => {
    if (text === told.current) return;
    const timer = setTimeout(() => {
      told.current = text;
      tell.current(text);
    }, REST_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return <input data-find type="search" value={text} onChange={(event) => setText(event.target.value)} placeholder="Find functions, a regular expression  /" aria-label="Find functions" />;
}
