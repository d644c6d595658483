// Draws the profile that lies in the page: a flame graph, the root at the top, and a table of functions.
'use strict';
(() => {
  const profile = JSON.parse(document.getElementById('profile').textContent);
  const at = (id) => document.getElementById(id);
  const text = (index) => profile.texts[index];
  const ROW = 19;
  /** Narrower boxes are not drawn, in pixels. */
  const MIN_WIDTH = 0.4;
  /** Narrower boxes have no name, in pixels. */
  const MIN_LABEL = 28;
  /** Functions in the table. */
  const MAX_ROWS = 500;
  /** Columns of a sample before its values: stack, thread, state. */
  const LABELS = 3;

  const dark = matchMedia('(prefers-color-scheme: dark)');
  const canvas = at('flame');
  const pen = canvas.getContext('2d');
  let places, root, zoomed, functions, pattern, hovered, sortBy = 'self';

  function format(value) {
    const unit = profile.types[at('type').value]?.[1];
    const scaled = (steps, base) => {
      let step = 0;
      let rest = value;
      while (Math.abs(rest) >= base && step < steps.length - 1) { rest /= base; step += 1; }
      return `${rest.toLocaleString('en', { maximumSignificantDigits: rest >= 100 ? 4 : 3 })} ${steps[step]}`;
    };
    if (unit === 'nanoseconds') return scaled(['ns', 'µs', 'ms', 's'], 1000);
    if (unit === 'bytes') return scaled(['B', 'KiB', 'MiB', 'GiB'], 1024);
    return value.toLocaleString('en');
  }

  const percent = (value) => (root.value ? `${((100 * value) / root.value).toFixed(1)} %` : '');

  /** The places that frames are shown as: a function, or one line of it. */
  function findPlaces(byLine) {
    const known = new Map();
    return profile.frames.map(([fn, file, line, library, inApp]) => {
      const key = byLine ? `${fn} ${file} ${line}` : `${fn} ${file}`;
      let place = known.get(key);
      if (!place) {
        place = { name: text(fn), file: text(file), line: byLine ? line : 0, library: text(library), inApp: inApp === 1 };
        place.shown = place.line ? `${place.name}:${place.line}` : place.name;
        place.searched = `${place.name} ${place.file} ${place.library}`.toLowerCase();
        place.hue = hue(place.library || place.file);
        known.set(key, place);
      }
      return place;
    });
  }

  function hue(name) {
    let hash = 7;
    for (let index = 0; index < name.length; index += 1) hash = (hash * 31 + name.charCodeAt(index)) % 65521;
    return 170 + (hash % 130);
  }

  const node = (place, depth) => ({ place, depth, value: 0, self: 0, x: 0, below: new Map() });

  /** Adds up the chosen samples: as a tree, and by function. */
  function build() {
    const column = LABELS + Number(at('type').value);
    const thread = at('thread').value;
    const state = at('state').value;
    places = findPlaces(at('lines').checked);
    root = node(null, 0);
    functions = new Map();
    for (const sample of profile.samples) {
      const value = sample[column];
      if (!value || (thread !== '' && sample[1] !== Number(thread)) || (state !== '' && sample[2] !== Number(state))) continue;
      const stack = profile.stacks[sample[0]];
      const seen = new Set();
      let current = root;
      current.value += value;
      for (let index = stack.length - 1; index >= 0; index -= 1) {
        const place = places[stack[index]];
        let next = current.below.get(place);
        if (!next) current.below.set(place, (next = node(place, current.depth + 1)));
        next.value += value;
        current = next;
        let sums = functions.get(place);
        if (!sums) functions.set(place, (sums = { place, self: 0, total: 0 }));
        if (index === 0) sums.self += value;
        if (!seen.has(place)) { seen.add(place); sums.total += value; }
      }
      current.self += value;
    }
    zoomed = root;
    hovered = null;
    at('space').style.height = `${(arrange() + 1) * ROW}px`;
  }

  /** Gives boxes their places, the largest first; how deep the deepest is. */
  function arrange() {
    let deepest = 0;
    const waiting = [root];
    while (waiting.length) {
      const parent = waiting.pop();
      deepest = Math.max(deepest, parent.depth);
      parent.below = [...parent.below.values()].sort((a, b) => b.value - a.value);
      let x = parent.x;
      for (const child of parent.below) {
        child.parent = parent;
        child.x = x;
        x += child.value;
        waiting.push(child);
      }
    }
    return deepest;
  }

  const matches = (box) => pattern !== '' && box.place !== null && box.place.searched.includes(pattern);

  /** Calls `visit` with each box that can be seen and where it lies. */
  function eachVisible(visit) {
    const width = canvas.clientWidth;
    const scale = width / (zoomed.value || 1);
    const left = (box) => Math.max(0, (box.x - zoomed.x) * scale);
    const waiting = [root];
    while (waiting.length) {
      const box = waiting.pop();
      const x = left(box);
      const end = Math.min(width, (box.x + box.value - zoomed.x) * scale);
      if (end - x < MIN_WIDTH) continue;
      visit(box, x, box.depth * ROW - at('scroll').scrollTop, end - x);
      waiting.push(...box.below);
    }
  }

  function colour(box) {
    if (matches(box)) return dark.matches ? '#c77dff' : '#b14aed';
    if (box.place === null) return dark.matches ? '#2b333b' : '#dde1e5';
    const lightness = dark.matches ? 34 : 80;
    if (box.place.inApp) return `hsl(${28 + (box.place.hue % 22)} 75% ${lightness + 3}%)`;
    return `hsl(${box.place.hue} 30% ${lightness}%)`;
  }

  function draw() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = at('scroll');
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    at('space').style.marginTop = `${-height}px`;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = '12px system-ui, sans-serif';
    pen.textBaseline = 'middle';
    const ink = dark.matches ? '#f2f4f6' : '#14181d';
    eachVisible((box, x, y, wide) => {
      if (y < -ROW || y > height) return;
      pen.globalAlpha = box.depth < zoomed.depth ? 0.55 : 1;
      pen.fillStyle = colour(box);
      pen.fillRect(x, y, Math.max(wide - 0.6, MIN_WIDTH), ROW - 1);
      if (box === hovered) {
        pen.strokeStyle = ink;
        pen.strokeRect(x + 0.5, y + 0.5, Math.max(wide - 1.6, 0), ROW - 2);
      }
      if (wide >= MIN_LABEL) {
        pen.fillStyle = matches(box) ? '#fff' : ink;
        pen.fillText(fit(box.place ? box.place.shown : 'all', wide - 8), x + 4, y + ROW / 2);
      }
    });
    pen.globalAlpha = 1;
  }

  function fit(name, width) {
    const most = Math.floor(width / 7);
    return name.length <= most ? name : most > 2 ? `${name.slice(0, most - 1)}…` : '';
  }

  function boxAt(event) {
    const { left, top } = canvas.getBoundingClientRect();
    let found = null;
    eachVisible((box, x, y, wide) => {
      const inside = event.clientX - left >= x && event.clientX - left < x + wide;
      if (inside && event.clientY - top >= y && event.clientY - top < y + ROW) found = box;
    });
    return found;
  }

  const where = (place) => (place.line ? `${place.file}:${place.line}` : place.file);

  function tell(box) {
    if (!box) {
      at('status').textContent = root.value ? `${format(root.value)} in all` : 'nothing was sampled of this kind';
      return;
    }
    const name = box.place ? `${box.place.name}  ${where(box.place)}${box.place.library && `  [${box.place.library}]`}` : 'all';
    at('status').textContent = `${format(box.value)} (${percent(box.value)}), self ${format(box.self)} · ${name}`;
  }

  /** How much of the profile lies in boxes that match, none counted twice. */
  function found() {
    if (pattern === '') return '';
    let sum = 0;
    const waiting = [root];
    while (waiting.length) {
      const box = waiting.pop();
      if (matches(box)) sum += box.value;
      else waiting.push(...box.below);
    }
    return `${percent(sum)} matched`;
  }

  function list() {
    const shown = [...functions.values()].filter((sums) => sums.place.searched.includes(pattern));
    shown.sort((a, b) => (sortBy === 'name' ? a.place.name.localeCompare(b.place.name) : b[sortBy] - a[sortBy]));
    at('rows').replaceChildren(...shown.slice(0, MAX_ROWS).map((sums) => {
      const row = document.createElement('tr');
      const cells = [`${format(sums.self)}  ${percent(sums.self)}`, `${format(sums.total)}  ${percent(sums.total)}`, sums.place.name, where(sums.place)];
      row.append(...cells.map((cell) => Object.assign(document.createElement('td'), { textContent: cell })));
      row.addEventListener('click', () => { at('search').value = sums.place.name; search(); });
      return row;
    }));
    for (const head of document.querySelectorAll('th[data-by]')) {
      if (head.dataset.by === sortBy) head.setAttribute('aria-sort', sortBy === 'name' ? 'ascending' : 'descending');
      else head.removeAttribute('aria-sort');
    }
  }

  function zoom(box) {
    zoomed = box;
    at('reset').disabled = box === root;
    draw();
  }

  function search() {
    pattern = at('search').value.trim().toLowerCase();
    at('found').textContent = found();
    list();
    draw();
  }

  function rebuild() {
    build();
    at('reset').disabled = true;
    tell(null);
    search();
  }

  function offer(id, column) {
    const values = [...new Set(profile.samples.map((sample) => sample[column]))].filter((value) => text(value) !== '');
    values.sort((a, b) => text(a).localeCompare(text(b)));
    at(id).append(new Option('all', ''), ...values.map((value) => new Option(text(value), value)));
    at(id).parentElement.hidden = values.length < 2;
    at(id).addEventListener('change', rebuild);
  }

  profile.types.forEach(([name, unit], index) => at('type').append(new Option(`${name} (${unit})`, index)));
  const has = (index) => profile.samples.some((sample) => sample[LABELS + index]);
  const cpu = profile.types.findIndex(([name], index) => name === 'cpu' && has(index));
  at('type').value = cpu >= 0 ? cpu : Math.max(0, profile.types.findIndex((_, index) => has(index)));
  at('type').addEventListener('change', rebuild);
  at('lines').addEventListener('change', rebuild);
  offer('thread', 1);
  offer('state', 2);
  at('search').addEventListener('input', search);
  at('reset').addEventListener('click', () => zoom(root));
  addEventListener('keydown', (event) => { if (event.key === 'Escape') zoom(root); });
  for (const head of document.querySelectorAll('th[data-by]')) {
    head.addEventListener('click', () => { sortBy = head.dataset.by; list(); });
  }
  canvas.addEventListener('click', (event) => { const box = boxAt(event); if (box) zoom(box); });
  canvas.addEventListener('mousemove', (event) => {
    const box = boxAt(event);
    if (box !== hovered) { hovered = box; tell(box); draw(); }
  });
  canvas.addEventListener('mouseleave', () => { hovered = null; tell(null); draw(); });
  at('scroll').addEventListener('scroll', draw);
  addEventListener('resize', draw);
  dark.addEventListener('change', draw);
  rebuild();
})();
