// Numbers for people: three significant digits, one unit, nothing hidden in rounding.

const significant = (value: number): string => {
  if (value === 0) return '0';
  const rounded = Number(value.toPrecision(3));
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))));
  return rounded.toFixed(Math.min(digits, 3));
};

/** A duration in nanoseconds. */
export function duration(ns: number | null | undefined): string {
  if (ns === null || ns === undefined) return '–';
  if (ns < 1_000) return `${Math.round(ns)} ns`;
  if (ns < 999_500) return `${significant(ns / 1e3)} µs`;
  if (ns < 999_500_000) return `${significant(ns / 1e6)} ms`;
  if (ns < 60e9) return `${significant(ns / 1e9)} s`;
  const seconds = Math.round(ns / 1e9);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
}

const UNITS: [number, string][] = [
  [1e9, 's'],
  [1e6, 'ms'],
  [1e3, 'µs'],
];

/** A moment on an axis whose marks are `step` nanoseconds apart: as many digits as tell it from the next. */
export function axisLabel(ns: number, step: number): string {
  if (ns === 0) return '0';
  if (ns >= 60e9 && step >= 1e9) return duration(ns);
  const [size, unit] = UNITS.find(([unitSize]) => ns >= unitSize) ?? [1, 'ns'];
  // Steps are 1, 2 or 5 times a power of ten, so this many digits say them exactly.
  const digits = Math.max(0, -Math.floor(Math.log10(step / size) + 1e-9));
  return `${(ns / size).toFixed(Math.min(digits, 9))} ${unit}`;
}

/** A count. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  if (value < 10_000) return String(value);
  if (value < 999_500) return `${significant(value / 1e3)} k`;
  return `${significant(value / 1e6)} M`;
}

/** A size in bytes, by powers of 1024. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [size, unit] = [Math.abs(value), 0];
  while (size >= 999.5 && unit < units.length - 1) [size, unit] = [size / 1024, unit + 1];
  return `${value < 0 ? '-' : ''}${unit === 0 ? Math.round(size) : significant(size)} ${units[unit]}`;
}

/** Something a second. */
export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  if (value > 0 && value < 0.01) return '<0.01/s';
  return `${value >= 10_000 ? count(value) : significant(value)}/s`;
}

/** A share of one, as a percentage. */
export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  if (value > 0 && value < 0.001) return '<0.1 %';
  if (value < 1 && value > 0.999) return '>99.9 %';
  return `${significant(value * 100)} %`;
}

/** A moment beside others: without the day when that is today's. */
export function momentOf(us: number, now: number): string {
  const text = moment(us);
  return text.startsWith(moment(now * 1000).slice(0, 10)) ? text.slice(11) : text;
}

/** A moment, in microseconds since the epoch, to the millisecond. */
export function moment(us: number): string {
  const date = new Date(us / 1000);
  const pad = (number: number, width = 2) => String(number).padStart(width, '0');
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return `${day} ${time}.${pad(date.getMilliseconds(), 3)}`;
}
