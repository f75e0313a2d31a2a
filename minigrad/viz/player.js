"use strict";
// The player: shows the recording of one training step, frame by frame. draw() sets everything that depends on the frame,
// so a frame looks the same however it is reached.

const recording = JSON.parse(document.getElementById("recording").textContent);
const $ = (id) => document.getElementById(id);
const last = recording.frames.length - 1;
const narrow = matchMedia("(max-width: 720px)"), low = matchMedia("(min-width: 721px) and (max-height: 700px)");
const state = { frame: 0, playing: 0, numbers: false, path: null };

// ---- numbers
const arrays = recording.arrays.map((entry) => {
  if (entry.data === undefined) return entry;
  const bytes = Uint8Array.from(atob(entry.data), (c) => c.charCodeAt(0));
  return { ...entry, numbers: entry.type === "f8" ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer) };
});

function text(value, digits = 4) {
  if (typeof value === "string") return value.replace("inf", "∞").replace("-", "−");
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "∞").replace("-", "−");
  const short = Math.abs(value) < 1e-4 && value !== 0 ? value.toExponential(digits - 2) : String(Number(value.toPrecision(digits)));
  return short.replace("-", "−").replace("e-", "e−").replace("e+", "e");
}
// JSON has no inf and nan: there they are text.
const number = (value) => (typeof value === "string" ? Number(value.replace("inf", "Infinity")) : value);
// Enough digits to be exact: 9 for float32, 17 for float64.
const exact = (array, value) => text(value, array.type === "f4" ? 9 : 17);
const size = (array) => (array.shape.length === 0 ? "1 number" : array.shape.length === 1 ? `${array.shape[0]} number${array.shape[0] === 1 ? "" : "s"}` : array.shape.join(" × "));

// The cells of an array: its numbers, or the means of blocks.
const grid = (array) =>
  array.numbers
    ? { rows: array.rows, columns: array.columns, at: (r, c) => array.numbers[r * array.columns + c] }
    : { rows: array.means.length, columns: array.means[0].length, at: (r, c) => number(array.means[r][c]) };

function peak(array) {
  const { rows, columns, at } = grid(array);
  let best = 0, where = [0, 0];
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const size = Math.abs(at(r, c));
      if (Number.isFinite(size) && size > best) { best = size; where = [r, c]; }
    }
  return { best, where };
}
const peaks = arrays.map(peak);

// The index in the array's own shape of a row and column of its table.
function index(array, r, c) {
  const position = [];
  if (array.shape.length) position.push(c);
  let rest = r;
  for (let i = array.shape.length - 2; i >= 0; i--) { position.unshift(rest % array.shape[i]); rest = Math.floor(rest / array.shape[i]); }
  return position.length ? `[${position.join(", ")}]` : "";
}

// ---- colours
let palette = {}, shadesOf = {}, warming = 0;
function readPalette() {
  images.clear();
  const style = getComputedStyle(document.documentElement);
  const rgb = (name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number);
  clearTimeout(warming);
  palette = { zero: rgb("--zero"), value: [rgb("--value-minus"), rgb("--value-plus")], gradient: [rgb("--gradient-minus"), rgb("--gradient-plus")] };
  shadesOf = { value: shade("value"), gradient: shade("gradient") };
  warm(0);
}
// 255 shades of each sign around zero, as the pixels of a canvas: 0xAABBGGRR.
function shade(scale) {
  return Uint32Array.from({ length: 511 }, (_, i) => {
    const [red, green, blue] = mix(scale, i > 255 ? 1 : 0, Math.abs(i - 255) / 255);
    return 0xff000000 + (blue << 16) + (green << 8) + red;
  });
}
const mix = (scale, sign, t) => palette.zero.map((z, i) => Math.round(z + (palette[scale][sign][i] - z) * t));
// Colour grows with the square root of a number, so that small numbers stay visible.
const strength = (value, best) => (best ? Math.sqrt(Math.abs(value) / best) : 0);
function colour(array, value, best, most = 1) {
  if (!Number.isFinite(value)) return [128, 128, 128];
  return mix(array.scale, value > 0 ? 1 : 0, Math.min(1, strength(value, best)) * most);
}
const images = new Map(); // by array, until the colours change
function imageOf(id) {
  if (images.has(id)) return images.get(id);
  const array = arrays[id], { rows, columns, at } = grid(array), image = new ImageData(columns, rows);
  const cells = new Uint32Array(image.data.buffer), shades = shadesOf[array.scale], best = peaks[id].best;
  for (let r = 0, k = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const value = at(r, c), shade = Math.round(255 * Math.min(1, strength(value, best)));
      cells[k++] = Number.isFinite(value) ? shades[value > 0 ? 255 + shade : 255 - shade] : 0xff808080;
    }
  images.set(id, image);
  return image;
}
// Images are made ahead of time, one by one, so that every frame appears at once.
function warm(id) {
  if (id === arrays.length) return;
  warming = setTimeout(() => { imageOf(id); warm(id + 1); });
}
function paint(canvas, id) {
  const { rows, columns } = grid(arrays[id]);
  canvas.width = Math.max(columns, 1);
  canvas.height = Math.max(rows, 1);
  canvas.dataset.array = id;
  if (rows && columns) canvas.getContext("2d").putImageData(imageOf(id), 0, 0);
}

// ---- small tools
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") element.style.cssText = value; // the content security policy forbids the attribute
    else if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}
// A caption marks its numbers and names with backticks.
const marked = (caption) => caption.split("`").map((piece, i) => (i % 2 ? make("b", {}, piece) : piece));
// The entry of a timeline that is valid at a frame.
function entryAt(timeline, frame) {
  let found = null;
  for (const entry of timeline) if (entry[0] <= frame) found = entry;
  return found;
}

// ---- the graph
const cards = [];
const wires = recording.edges.map(() => document.createElementNS("http://www.w3.org/2000/svg", "path"));

function place() {
  const column = narrow.matches ? 7 : 8.4, along = narrow.matches ? 6.7 : 11.1, aside = narrow.matches ? 7.5 : low.matches ? 4.8 : 5.7, tall = low.matches ? 4.1 : 5.1;
  const spot = ([c, r]) => (narrow.matches ? [r * aside, c * along] : [c * along, r * aside]);
  let right = 0, bottom = 0;
  const reach = ([x, y]) => { right = Math.max(right, x + column); bottom = Math.max(bottom, y + tall); return [x, y]; };
  recording.vertices.forEach((vertex, i) => {
    const [x, y] = reach(spot(vertex.at));
    cards[i].style.left = `${x}rem`;
    cards[i].style.top = `${y}rem`;
  });
  recording.edges.forEach((edge, i) => {
    const points = edge.route.map((p) => reach(spot(p)));
    let path = "";
    points.forEach(([x, y], k) => {
      const before = narrow.matches ? [x + column / 2, y] : [x, y + tall / 2];
      const behind = narrow.matches ? [x + column / 2, y + tall] : [x + column, y + tall / 2];
      if (k > 0) {
        const [px, py] = path.end, mid = narrow.matches ? (py + before[1]) / 2 : (px + before[0]) / 2;
        path.d += narrow.matches ? `C${px} ${mid} ${before[0]} ${mid} ${before[0]} ${before[1]}` : `C${mid} ${py} ${mid} ${before[1]} ${before[0]} ${before[1]}`;
        if (k < points.length - 1) path.d += `L${behind[0]} ${behind[1]}`;
      } else path = { d: `M${behind[0]} ${behind[1]}` };
      path.end = behind;
    });
    wires[i].setAttribute("d", path.d);
  });
  $("field").style.width = `${right}rem`;
  $("field").style.height = `${bottom}rem`;
  $("edges").setAttribute("viewBox", `0 0 ${right} ${bottom}`);
}

// The paths from the loss to a vertex: how many there are, and the edges (on) and vertices (seen) that belong to them.
function paths(vertex) {
  const count = new Array(recording.vertices.length).fill(0), on = new Set(), seen = new Set([vertex]);
  count[recording.vertices.length - 1] = 1;
  for (let v = recording.vertices.length - 2; v >= vertex; v--)
    for (const edge of recording.edges) if (edge.from === v) count[v] += count[edge.to];
  for (let v = vertex; v < recording.vertices.length; v++)
    if (seen.has(v)) recording.edges.forEach((edge, i) => { if (edge.from === v) { on.add(i); seen.add(edge.to); } });
  return { count: count[vertex], on, seen };
}
function chain(vertex) {
  const names = [recording.vertices[vertex].name];
  for (let v = vertex; ;) {
    const edge = recording.edges.find((e) => e.from === v);
    if (!edge) break;
    names.push(recording.vertices[(v = edge.to)].name);
  }
  return names.reverse().join(" → ");
}
// Set the classes of cards and wires, from the frame and from the vertex that is pointed at.
function setClasses() {
  const frame = recording.frames[state.frame];
  const found = state.path === null ? { on: new Set(), seen: new Set() } : paths(state.path);
  const put = (element, ...names) => element.setAttribute("class", names.filter(Boolean).join(" "));
  cards.forEach((card, i) => {
    const vertex = recording.vertices[i], bare = entryAt(vertex.values, state.frame) === null;
    put(card, "card", vertex.kind, bare && "bare", frame.focus === i && "focus", frame.target === i && "target", found.seen.has(i) && "path");
  });
  wires.forEach((wire, i) => put(wire, "wire", frame.edges.includes(i) && "on", frame.phase === 3 && "back", found.on.has(i) && "path"));
  return found;
}
function showPaths(vertex) {
  state.path = vertex;
  const found = setClasses();
  const many = found.count === 1 ? "One path leads" : `${found.count} paths lead`;
  $("paths").textContent = vertex === null || vertex === recording.vertices.length - 1 ? "" : `${many} from the loss to ${recording.vertices[vertex].name}: ${chain(vertex)}${found.count > 1 ? ", and others" : ""}`;
}
// The next frame about a vertex; after the last one, the first.
function nextFrameOf(vertex) {
  const frames = recording.frames.map((f, i) => [f, i]).filter(([f]) => f.focus === vertex || f.target === vertex || f.edges.some((e) => recording.edges[e].from === vertex)).map(([, i]) => i);
  return frames.find((i) => i > state.frame) ?? frames[0] ?? state.frame;
}

function build() {
  wires.forEach((wire) => $("edges").append(wire));
  recording.vertices.forEach((vertex, i) => {
    const card = make("button", { type: "button", class: "card" });
    card.append(make("b", {}, vertex.title), make("small", {}, vertex.shape), make("span", { class: "slots" }, make("span", { class: "slot" }), make("span", { class: "slot" })), make("i", { class: "letter" }), make("i", { class: "letter" }));
    card.addEventListener("click", () => go(nextFrameOf(i)));
    card.addEventListener("pointerenter", () => showPaths(i));
    card.addEventListener("pointerleave", () => showPaths(null));
    card.addEventListener("focus", () => { if (card.matches(":focus-visible")) showPaths(i); });
    card.addEventListener("blur", () => showPaths(null));
    cards.push(card);
    $("cards").append(card);
  });
  recording.phases.forEach((name, i) => {
    const first = recording.frames.findIndex((frame) => frame.phase === i + 1);
    const button = make("button", { type: "button", "aria-keyshortcuts": i + 1 }, make("span", { "aria-hidden": "true" }, `${i + 1}`), name);
    button.disabled = first < 0;
    button.addEventListener("click", () => go(first));
    $("phases").append(make("li", {}, button));
  });
  $("time").max = last;
  place();
}

// ---- the panels
function slot(element, entry) {
  const id = entry ? entry[1] : null, note = entry && entry[2] ? entry[2] : "";
  const shows = [id, note, document.documentElement.dataset.theme].join();
  if (element.shows === shows) return; // painting again would change nothing
  element.shows = shows;
  element.className = id === null ? "slot" : "slot full";
  if (id === null) element.replaceChildren(note);
  else {
    const canvas = make("canvas");
    paint(canvas, id);
    element.replaceChildren(canvas);
  }
}

const few = (array) => array.numbers && array.rows <= 4 && array.columns <= 4;

function table(panel, id, cursor) {
  const array = arrays[id];
  if (!array.numbers) {
    const rows = array.largest.map(([where, value]) => make("tr", {}, make("th", { scope: "row" }, `[${where.join(", ")}]`), cell(array, number(value), id, false)));
    return make("table", {}, make("caption", { class: "readout" }, `the ${rows.length} largest of ${array.shape.reduce((a, b) => a * b, 1).toLocaleString("en")} numbers`), make("tbody", {}, ...rows));
  }
  const start = (at, shown, all) => Math.max(0, Math.min(at - Math.floor(shown / 2), all - shown));
  const tall = Math.min(array.rows, 6), wide = Math.min(array.columns, narrow.matches ? 4 : 5);
  const top = start(cursor[0], tall, array.rows), left = start(cursor[1], wide, array.columns);
  const rows = [];
  const whole = tall === array.rows && wide === array.columns;
  if (!whole) rows.push(make("tr", {}, make("td", { style: "background:none" }), ...Array.from({ length: wide }, (_, c) => make("th", { scope: "col" }, `${left + c}`))));
  for (let r = top; r < top + tall; r++) {
    const cells = [];
    for (let c = left; c < left + wide; c++) cells.push(cell(array, array.numbers[r * array.columns + c], id, !whole && r === cursor[0] && c === cursor[1]));
    rows.push(make("tr", {}, ...(whole ? [] : [make("th", { scope: "row" }, `${r}`)]), ...cells));
  }
  return make("table", array.rows * array.columns === 1 ? { class: "one" } : {}, make("tbody", {}, ...rows));
}
function cell(array, value, id, at) {
  const tint = colour(array, value, peaks[id].best, 0.4);
  return make("td", { style: `background:rgb(${tint.join(" ")})`, title: exact(array, value), class: at ? "at" : undefined }, text(value));
}

function matrix(panel, linked) {
  const id = panel.array, array = arrays[id], { rows, columns, at } = grid(array);
  const caption = make("figcaption", {}, make("b", {}, panel.label), panel.meaning && ` = ${panel.meaning}`, make("small", {}, size(array)));
  const figure = make("figure", { "data-array": id }, caption);
  if (!rows || !columns) return figure;
  const body = make("div", {}), readout = make("p", { class: "readout cell" });
  let cursor = peaks[id].where;
  if (few(array)) {
    figure.append(table(panel, id, cursor));
    return figure;
  }
  const heat = make("div", { class: "heat", tabindex: "0", role: "img" });
  heat.setAttribute("aria-label", `${panel.label}${panel.meaning && ` = ${panel.meaning}`}, ${size(array)}: from ${text(array.min)} to ${text(array.max)}, mean ${text(array.mean)}. Arrow keys read its numbers.`);
  const most = narrow.matches ? [10, 7] : [11.5, 8.6], natural = state.numbers ? 0.7 : 1.35;
  const s = Math.min(natural, most[0] / columns, most[1] / rows);
  const wide = Math.max(s * columns, Math.min(most[0], natural * columns, 2.6)), tall = Math.max(s * rows, Math.min(most[1], natural * rows, 2.6));
  heat.style.width = `${wide}rem`;
  heat.style.height = `${tall}rem`;
  const canvas = make("canvas"), mark = make("i");
  paint(canvas, id);
  heat.append(canvas, mark);
  if (panel.column !== undefined) heat.append(make("u", { style: `left:calc(${(100 * panel.column) / columns}% - 3px);width:calc(${100 / columns}% + 6px)` }));
  function point(r, c) {
    cursor = [Math.max(0, Math.min(rows - 1, r)), Math.max(0, Math.min(columns - 1, c))];
    mark.style.cssText = `left:${(100 * cursor[1]) / columns}%;top:${(100 * cursor[0]) / rows}%;width:${100 / columns}%;height:${100 / rows}%`;
    if (array.numbers) readout.textContent = `${index(array, ...cursor)} = ${exact(array, at(...cursor))}`;
    else {
      const [high, broad] = array.block, r0 = cursor[0] * high, c0 = cursor[1] * broad;
      readout.textContent = `mean of rows ${r0}–${Math.min(array.rows, r0 + high) - 1}, columns ${c0}–${Math.min(array.columns, c0 + broad) - 1}: ${text(at(...cursor))}`;
    }
    if (state.numbers) body.replaceChildren(scrollable(table(panel, id, cursor), `Numbers of ${panel.label}`));
  }
  const together = (r, c) => (linked.some((other) => other.point === point) ? linked.forEach((other) => other.point(r, c)) : point(r, c));
  if (linked.ids.includes(id)) {
    linked.push({ point });
    figure.classList.add("pointed");
  }
  heat.addEventListener("focus", () => figure.classList.add("pointed"));
  heat.addEventListener("pointermove", (event) => {
    figure.classList.add("pointed");
    const box = heat.getBoundingClientRect();
    together(Math.floor(((event.clientY - box.top) / box.height) * rows), Math.floor(((event.clientX - box.left) / box.width) * columns));
  });
  heat.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    readout.setAttribute("aria-live", "polite");
    together(cursor[0] + move[0], cursor[1] + move[1]);
  });
  figure.append(heat, readout, body);
  figure.start = point;
  figure.cursor = cursor;
  return figure;
}
const scrollable = (content, label) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, content);

const builders = {
  matrix,
  sign: ({ text }) => make("span", { class: text === "→" ? "sign arrow" : text.length > 2 ? "sign long" : "sign" }, text),
  table: ({ label, head, rows }) => {
    const top = make("tr", {}, ...head.map((h) => (h ? make("th", { scope: "col" }, h) : make("td", { style: "background:none" }))));
    const body = rows.map(([name, ...cells]) => make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((c) => make("td", {}, c))));
    return scrollable(make("table", {}, make("thead", {}, top), make("tbody", {}, ...body)), label);
  },
  formula: ({ heading, formula, legend }) => {
    const meanings = legend.flatMap(([letter, meaning]) => [make("dt", {}, letter), make("dd", {}, meaning)]);
    return make("div", { class: "formula" }, make("h3", {}, heading), make("p", {}, formula), ...(meanings.length ? [make("dl", {}, ...meanings)] : []));
  },
};

// ---- a frame
function draw() {
  const frame = recording.frames[state.frame];
  document.body.dataset.phase = frame.phase;
  document.body.dataset.frame = state.frame;
  $("title").textContent = frame.title;
  $("caption").replaceChildren(...marked(frame.caption));
  const linked = Object.assign([], { ids: frame.linked ?? [] });
  const panels = frame.panels.map((panel) => builders[panel.panel](panel, linked));
  $("panels").replaceChildren(...panels);
  const shared = linked.length ? panels.find((p) => p.start && frame.linked[1] === Number(p.dataset.array)) : null;
  for (const p of panels) if (p.start) p.start(...(shared && linked.ids.includes(Number(p.dataset.array)) ? shared.cursor : p.cursor));
  recording.vertices.forEach((vertex, i) => {
    const value = entryAt(vertex.values, state.frame), gradient = entryAt(vertex.gradients, state.frame), card = cards[i];
    const [left, right] = card.querySelectorAll(".slot");
    slot(left, value);
    slot(right, gradient);
    const letters = ["value", "gradient"].map((kind) => frame.letters.filter(([v, k]) => v === i && k === kind).map(([, , letter]) => letter).join(", "));
    card.querySelectorAll(".letter").forEach((element, k) => { element.textContent = letters[k]; });
    const label = [vertex.title, vertex.kind === "op" ? "" : vertex.kind, vertex.shape, value ? "value known" : "not computed yet", gradient && gradient[1] !== null ? "gradient known" : "", letters[0] && `${letters[0]} in the formula`, letters[1] && `its gradient is ${letters[1]} in the formula`];
    card.setAttribute("aria-label", label.filter(Boolean).join(", "));
  });
  setClasses();
  for (const [i, item] of [...$("phases").children].entries()) {
    if (frame.phase === i + 1) item.firstChild.setAttribute("aria-current", "step");
    else item.firstChild.removeAttribute("aria-current");
  }
  $("time").value = state.frame;
  $("time").setAttribute("aria-valuetext", `${state.frame + 1} of ${last + 1}: ${frame.title}`);
  $("count").textContent = `${state.frame + 1} / ${last + 1}`;
  keepInSight(cards[frame.focus]);
}
function keepInSight(card) {
  const box = $("graph");
  if (narrow.matches || (box.scrollWidth <= box.clientWidth && box.scrollHeight <= box.clientHeight)) return;
  box.scrollTo({ left: card.offsetLeft - box.clientWidth / 2 + card.offsetWidth / 2, top: card.offsetTop - box.clientHeight / 2 + card.offsetHeight / 2 });
}

// ---- time
function go(frame) {
  state.frame = Math.max(0, Math.min(last, frame));
  draw();
  if (state.playing) wait();
}
// At speed 1 a frame stays as long as it takes to read its caption.
function wait() {
  clearTimeout(state.playing);
  if (state.frame === last) return pause();
  const duration = (1600 + 38 * recording.frames[state.frame].caption.length) / Number($("speed").value);
  state.playing = setTimeout(() => go(state.frame + 1), Math.max(20, duration));
}
function play() {
  if (state.frame === last) { state.frame = 0; draw(); }
  document.body.classList.add("playing");
  $("play").setAttribute("aria-label", "Pause");
  wait();
}
function pause() {
  clearTimeout(state.playing);
  state.playing = 0;
  document.body.classList.remove("playing");
  if (!document.body.classList.length) document.body.removeAttribute("class");
  $("play").setAttribute("aria-label", "Play");
}
const toggle = () => (state.playing ? pause() : play());
const step = (by) => { pause(); go(state.frame + by); };
function setNumbers() {
  state.numbers = !state.numbers;
  $("numbers").setAttribute("aria-pressed", state.numbers);
  draw();
}
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  readPalette();
}
const otherTheme = () => { setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"); draw(); };

$("first").addEventListener("click", () => step(-state.frame));
$("back").addEventListener("click", () => step(-1));
$("play").addEventListener("click", toggle);
$("step").addEventListener("click", () => step(1));
$("time").addEventListener("input", () => { pause(); go(Number($("time").value)); });
$("speed").addEventListener("change", () => { if (state.playing) wait(); });
$("numbers").addEventListener("click", setNumbers);
$("theme").addEventListener("click", otherTheme);
for (const query of [narrow, low]) query.addEventListener("change", () => { place(); draw(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => { setTheme(event.matches ? "dark" : "light"); draw(); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tag = event.target.tagName;
  if (tag === "SELECT" || (tag === "INPUT" && event.key !== " " && !/^[1-5nt]$/.test(event.key))) return;
  if (tag === "BUTTON" && (event.key === " " || event.key === "Enter")) return;
  const phase = recording.frames.findIndex((frame) => String(frame.phase) === event.key);
  const keys = { " ": toggle, ArrowRight: () => step(1), ArrowLeft: () => step(-1), Home: () => step(-state.frame), End: () => step(last), n: setNumbers, t: otherTheme };
  if (phase >= 0) { pause(); go(phase); } else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
build();
draw();
