"use strict";
// Shows the recording of one training step. A frame is a function of its number: draw(i) sets everything that a frame
// decides, so going back is the same as going there for the first time.

const film = JSON.parse(document.getElementById("recording").textContent);
const $ = (id) => document.getElementById(id);
const last = film.frames.length - 1;
const narrow = matchMedia("(max-width: 720px)");
const state = { frame: 0, playing: 0, numbers: false, way: null };

// ---- numbers
const arrays = film.arrays.map((entry) => {
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
// As many digits as tell a number from its neighbours: 9 for float32, 17 for float64.
const exact = (array, value) => text(value, array.type === "f4" ? 9 : 17);
const size = (array) => (array.shape.length === 0 ? "1 number" : array.shape.length === 1 ? `${array.shape[0]} number${array.shape[0] === 1 ? "" : "s"}` : array.shape.join(" × "));

// What is drawn of an array: its numbers, or the means of blocks.
const grid = (array) =>
  array.numbers
    ? { rows: array.rows, columns: array.columns, at: (r, c) => array.numbers[r * array.columns + c] }
    : { rows: array.means.length, columns: array.means[0].length, at: (r, c) => Number(array.means[r][c]) };

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
  const place = [];
  if (array.shape.length) place.push(c);
  let rest = r;
  for (let i = array.shape.length - 2; i >= 0; i--) { place.unshift(rest % array.shape[i]); rest = Math.floor(rest / array.shape[i]); }
  return place.length ? `[${place.join(", ")}]` : "";
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
// Small numbers stay visible: colour grows with the root of a number rather than with the number.
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
// Images are made ahead of their frames, one at a time, so that no frame has to wait for its own.
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
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
// A sentence marks its numbers with backticks.
const sentence = (words) => words.split("`").map((piece, i) => (i % 2 ? make("b", {}, piece) : piece));
// The entry of a timeline that holds at a frame.
function holds(timeline, frame) {
  let found = null;
  for (const entry of timeline) if (entry[0] <= frame) found = entry;
  return found;
}

// ---- the graph
const cards = [];
const wires = film.edges.map(() => document.createElementNS("http://www.w3.org/2000/svg", "path"));

function place() {
  const column = narrow.matches ? 7 : 8.4, along = narrow.matches ? 6.7 : 11.1, aside = narrow.matches ? 7.5 : 5.7, tall = 5.1;
  const spot = ([c, r]) => (narrow.matches ? [r * aside, c * along] : [c * along, r * aside]);
  let right = 0, bottom = 0;
  const reach = ([x, y]) => { right = Math.max(right, x + column); bottom = Math.max(bottom, y + tall); return [x, y]; };
  film.vertices.forEach((vertex, i) => {
    const [x, y] = reach(spot(vertex.at));
    cards[i].style.left = `${x}rem`;
    cards[i].style.top = `${y}rem`;
  });
  film.edges.forEach((edge, i) => {
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

// Every wire that leads from the loss down to a vertex is one that leaves it, or leaves what it went into.
function ways(vertex) {
  const count = new Array(film.vertices.length).fill(0), on = new Set(), seen = new Set([vertex]);
  count[film.vertices.length - 1] = 1;
  for (let v = film.vertices.length - 2; v >= vertex; v--)
    for (const edge of film.edges) if (edge.from === v) count[v] += count[edge.to];
  for (let v = vertex; v < film.vertices.length; v++)
    if (seen.has(v)) film.edges.forEach((edge, i) => { if (edge.from === v) { on.add(i); seen.add(edge.to); } });
  return { count: count[vertex], on, seen };
}
function chain(vertex) {
  const names = [film.vertices[vertex].name];
  for (let v = vertex; ;) {
    const edge = film.edges.find((e) => e.from === v);
    if (!edge) break;
    names.push(film.vertices[(v = edge.to)].name);
  }
  return names.reverse().join(" → ");
}
// The classes of cards and wires, from the frame and from what is pointed at.
function dress() {
  const frame = film.frames[state.frame];
  const found = state.way === null ? { on: new Set(), seen: new Set() } : ways(state.way);
  const put = (element, ...names) => element.setAttribute("class", names.filter(Boolean).join(" "));
  cards.forEach((card, i) => {
    const vertex = film.vertices[i], bare = holds(vertex.values, state.frame) === null;
    put(card, "card", vertex.kind, bare && "bare", frame.focus === i && "focus", frame.to === i && "to", found.seen.has(i) && "way");
  });
  wires.forEach((wire, i) => put(wire, "wire", frame.edges.includes(i) && "on", frame.act === 3 && "back", found.on.has(i) && "way"));
  return found;
}
function showWays(vertex) {
  state.way = vertex;
  const found = dress();
  const many = found.count === 1 ? "One way leads" : `${found.count} ways lead`;
  $("ways").textContent = vertex === null || vertex === film.vertices.length - 1 ? "" : `${many} from the loss to ${film.vertices[vertex].name}: ${chain(vertex)}${found.count > 1 ? ", and others" : ""}`;
}
// The next frame about a vertex, and after the last one the first.
function about(vertex) {
  const frames = film.frames.map((f, i) => [f, i]).filter(([f]) => f.focus === vertex || f.to === vertex || f.edges.some((e) => film.edges[e].from === vertex)).map(([, i]) => i);
  return frames.find((i) => i > state.frame) ?? frames[0] ?? state.frame;
}

function build() {
  wires.forEach((wire) => $("edges").append(wire));
  film.vertices.forEach((vertex, i) => {
    const card = make("button", { type: "button", class: "card" });
    card.append(make("b", {}, vertex.title), make("small", {}, vertex.shape), make("span", { class: "slots" }, make("span", { class: "slot" }), make("span", { class: "slot" })));
    card.addEventListener("click", () => go(about(i)));
    card.addEventListener("pointerenter", () => showWays(i));
    card.addEventListener("pointerleave", () => showWays(null));
    card.addEventListener("focus", () => { if (card.matches(":focus-visible")) showWays(i); });
    card.addEventListener("blur", () => showWays(null));
    cards.push(card);
    $("cards").append(card);
  });
  film.acts.forEach((name, i) => {
    const first = film.frames.findIndex((frame) => frame.act === i + 1);
    const button = make("button", { type: "button", "aria-keyshortcuts": i + 1 }, make("span", { "aria-hidden": "true" }, `${i + 1}`), name);
    button.disabled = first < 0;
    button.addEventListener("click", () => go(first));
    $("acts").append(make("li", {}, button));
  });
  $("time").max = last;
  place();
}

// ---- the stage
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

function table(part, id, cursor) {
  const array = arrays[id];
  if (!array.numbers) {
    const rows = array.largest.map(([where, value]) => make("tr", {}, make("th", { scope: "row" }, `[${where.join(", ")}]`), cell(array, Number(value), id, false)));
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

function matrix(part, linked) {
  const id = part.array, array = arrays[id], { rows, columns, at } = grid(array);
  const caption = make("figcaption", {}, make("b", {}, part.label), make("small", {}, part.text ? `${part.text} · ${size(array)}` : size(array)));
  const figure = make("figure", { "data-array": id }, caption);
  if (!rows || !columns) return figure;
  const body = make("div", {}), readout = make("p", { class: "readout cell" });
  let cursor = peaks[id].where;
  if (few(array)) {
    figure.append(table(part, id, cursor));
    return figure;
  }
  const heat = make("div", { class: "heat", tabindex: "0", role: "img" });
  heat.setAttribute("aria-label", `${part.label} ${part.text}, ${size(array)}: from ${text(array.min)} to ${text(array.max)}, mean ${text(array.mean)}. Arrow keys read its numbers.`);
  const most = narrow.matches ? [10, 7] : [11.5, 8.6], natural = state.numbers ? 0.7 : 1.35;
  const s = Math.min(natural, most[0] / columns, most[1] / rows);
  const wide = Math.max(s * columns, Math.min(most[0], natural * columns, 2.6)), tall = Math.max(s * rows, Math.min(most[1], natural * rows, 2.6));
  heat.style.width = `${wide}rem`;
  heat.style.height = `${tall}rem`;
  const canvas = make("canvas"), mark = make("i");
  paint(canvas, id);
  heat.append(canvas, mark);
  if (part.column !== undefined) heat.append(make("u", { style: `left:calc(${(100 * part.column) / columns}% - 3px);width:calc(${100 / columns}% + 6px)` }));
  function point(r, c) {
    cursor = [Math.max(0, Math.min(rows - 1, r)), Math.max(0, Math.min(columns - 1, c))];
    mark.style.cssText = `left:${(100 * cursor[1]) / columns}%;top:${(100 * cursor[0]) / rows}%;width:${100 / columns}%;height:${100 / rows}%`;
    if (array.numbers) readout.textContent = `${index(array, ...cursor)} = ${exact(array, at(...cursor))}`;
    else {
      const [high, broad] = array.block, r0 = cursor[0] * high, c0 = cursor[1] * broad;
      readout.textContent = `mean of rows ${r0}–${Math.min(array.rows, r0 + high) - 1}, columns ${c0}–${Math.min(array.columns, c0 + broad) - 1}: ${text(at(...cursor))}`;
    }
    if (state.numbers) body.replaceChildren(wrapped(table(part, id, cursor), part.label));
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
const wrapped = (content, label) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Numbers of ${label}` }, content);

function part(entry, linked) {
  if (entry.part === "matrix") return matrix(entry, linked);
  if (entry.part === "sign") return make("span", { class: entry.text.length > 2 ? "sign long" : "sign" }, entry.text);
  if (entry.part === "table") {
    const head = make("tr", {}, ...entry.head.map((h) => (h ? make("th", { scope: "col" }, h) : make("td", { style: "background:none" }))));
    const rows = entry.rows.map(([name, ...cells]) => make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((c) => make("td", {}, c))));
    return make("div", { class: "wide" }, wrapped(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)), "the largest gradients"));
  }
  const where = entry.where.flatMap(([l, meaning]) => [make("dt", {}, l), make("dd", {}, meaning)]);
  return make("div", { class: "rule" }, make("h3", {}, entry.op), ...entry.lines.map((line) => make("p", {}, line)), ...(where.length ? [make("dl", {}, ...where)] : []));
}

// ---- a frame
function draw() {
  const frame = film.frames[state.frame];
  document.body.dataset.act = frame.act;
  document.body.dataset.frame = state.frame;
  $("title").textContent = frame.title;
  $("say").replaceChildren(...sentence(frame.say));
  const linked = Object.assign([], { ids: frame.linked ?? [] });
  const parts = frame.parts.map((entry) => part(entry, linked));
  $("stage").replaceChildren(...parts);
  const shared = linked.length ? parts.find((p) => p.start && frame.linked[1] === Number(p.dataset.array)) : null;
  for (const p of parts) if (p.start) p.start(...(shared && linked.ids.includes(Number(p.dataset.array)) ? shared.cursor : p.cursor));
  film.vertices.forEach((vertex, i) => {
    const value = holds(vertex.values, state.frame), gradient = holds(vertex.gradients, state.frame), card = cards[i];
    const [left, right] = card.querySelectorAll(".slot");
    slot(left, value);
    slot(right, gradient);
    const told = [vertex.title, vertex.kind === "op" ? "" : vertex.kind, vertex.shape, value ? "value known" : "not computed yet", gradient && gradient[1] !== null ? "gradient known" : ""];
    card.setAttribute("aria-label", told.filter(Boolean).join(", "));
  });
  dress();
  for (const [i, item] of [...$("acts").children].entries()) {
    if (frame.act === i + 1) item.firstChild.setAttribute("aria-current", "step");
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
// At speed 1 a frame stays as long as its sentence takes to read.
function wait() {
  clearTimeout(state.playing);
  if (state.frame === last) return pause();
  const duration = (1600 + 38 * film.frames[state.frame].say.length) / Number($("speed").value);
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
narrow.addEventListener("change", () => { place(); draw(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => { setTheme(event.matches ? "dark" : "light"); draw(); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tag = event.target.tagName;
  if (tag === "SELECT" || (tag === "INPUT" && event.key !== " " && !/^[1-5nt]$/.test(event.key))) return;
  if (tag === "BUTTON" && (event.key === " " || event.key === "Enter")) return;
  const act = film.frames.findIndex((frame) => String(frame.act) === event.key);
  const keys = { " ": toggle, ArrowRight: () => step(1), ArrowLeft: () => step(-1), Home: () => step(-state.frame), End: () => step(last), n: setNumbers, t: otherTheme };
  if (act >= 0) { pause(); go(act); } else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
build();
draw();
