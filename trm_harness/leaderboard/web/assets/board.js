"use strict";
const at = id => document.getElementById(id);
const data = id => at(id) ? JSON.parse(at(id).textContent) : null;
const make = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};
const kept = { get: key => { try { return localStorage.getItem(key); } catch { return null; } }, set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* a page from a file may keep nothing */ } } };

// --- colours: as the system, light, dark

const THEMES = { "": "as the system", light: "light", dark: "dark" };
let theme = kept.get("theme") || "";
function paint() {
  if (theme) document.documentElement.dataset.theme = theme; else delete document.documentElement.dataset.theme;
  if (at("theme")) at("theme").setAttribute("aria-label", `Colours: ${THEMES[theme]}`);
}
paint();
at("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme = names[(names.indexOf(theme) + 1) % names.length];
  kept.set("theme", theme);
  paint();
});
addEventListener("click", event => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
addEventListener("keydown", event => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});

// --- the table: one set of puzzles, sorting, filters, pins, pages of rows

const board = at("board");
const bodyRows = board ? [...board.tBodies[0].rows] : [];
const heads = board ? [...board.tHead.rows[0].cells] : [];
const STEP = 25;
let onFilter = () => {};
let splits = [...new Set(heads.map(head => head.dataset.split).filter(Boolean))];
let split = splits[0] || "", sorting = { key: "", way: 1 }, shown = STEP;
const pins = new Set();

// Where a key stands: of a column for each set of puzzles the one that is chosen.
const columnOf = key => heads.findIndex(head => head.dataset.key === key && (head.dataset.split === undefined || head.dataset.split === split));

function value(row, column, kind) {
  const cell = row.cells[column], text = cell.dataset.v ?? (kind === "number" ? "" : cell.textContent.trim().toLowerCase());
  if (kind !== "number") return text.toLowerCase();
  return text === "" ? null : Number(text);
}

function byRank(a, b) {
  const column = columnOf("score");
  const place = row => [row.cells[column].dataset.r === undefined ? 1 : 0, -(value(row, column, "number") ?? -1)];
  const x = place(a), y = place(b);
  return x[0] - y[0] || x[1] - y[1];
}

function byColumn(column, kind, way) {
  return (a, b) => {
    const x = value(a, column, kind), y = value(b, column, kind);
    // Rows that say nothing stay at the end whichever way.
    if (x === null || y === null || x === "" || y === "") return (x === null || x === "") - (y === null || y === "");
    return (kind === "number" ? x - y : x.localeCompare(y, "en")) * way;
  };
}

function sort() {
  const column = sorting.key ? columnOf(sorting.key) : -1;
  heads.forEach((head, place) => place === column ? head.setAttribute("aria-sort", sorting.way > 0 ? "ascending" : "descending") : head.removeAttribute("aria-sort"));
  const field = at("filters") && at("filters").elements.sort;
  if (field) field.value = sorting.key;
  // Without a key the table stands as it was built, but for another set of puzzles by that set's ranks.
  const order = column >= 0 ? byColumn(column, heads[column].dataset.sort, sorting.way) : split && split !== splits[0] ? byRank : null;
  board.tBodies[0].append(...(order ? [...bodyRows].sort(order) : bodyRows));
}

const firstWay = key => key === "score" ? -1 : 1;

function sortable() {
  const field = at("filters").elements.sort;
  heads.forEach(head => {
    if (!head.dataset.sort) return;
    const button = make("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    const key = head.dataset.key = head.dataset.key || head.textContent.toLowerCase();
    if (field && ![...field.options].some(option => option.value === key)) field.append(new Option(key === "data" ? "training data" : key === "level" ? "checked" : key, key));
    button.addEventListener("click", () => {
      sorting = { key, way: sorting.key === key ? -sorting.way : firstWay(key) };
      sort();
      page();
      remember();
    });
  });
}

const SIZES = { tiny: p => p <= 1e7, small: p => p > 1e7 && p <= 1e9, large: p => p > 1e9 };
const TESTS = {
  q: (row, wanted) => row.textContent.toLowerCase().includes(wanted.toLowerCase()),
  family: (row, wanted) => row.dataset.f === wanted,
  training: (row, wanted) => row.dataset.t === wanted,
  data: (row, wanted) => row.dataset.a === wanted,
  level: (row, wanted) => wanted === "ours" ? row.classList.contains("ours") : row.dataset.l === wanted,
  size: (row, wanted) => wanted === "unknown" ? !row.dataset.p : Boolean(row.dataset.p) && SIZES[wanted](Number(row.dataset.p)),
  ranked: row => !row.classList.contains("un"),
  pinned: row => pins.has(row.id),
  verdict: (row, wanted) => row.dataset.d === wanted,
  task: (row, wanted) => row.dataset.k === wanted,
};

const wishes = () => Object.fromEntries([...new FormData(at("filters"))].filter(([name, text]) => text && name !== "sort"));

function remember() {
  const told = new URLSearchParams(wishes());
  if (split && split !== splits[0]) told.set("split", split);
  if (sorting.key) told.set("sort", (sorting.way < 0 ? "-" : "") + sorting.key);
  if (pins.size) told.set("pin", [...pins].join(" "));
  try { history.replaceState(null, "", `?${told}${location.hash}`.replace(/^\?(?=#|$)/, location.pathname)); } catch { /* some browsers keep file addresses as they are */ }
}

function page() {
  // The first rows only: a phone would scroll for ever.
  const passing = [...board.tBodies[0].rows].filter(row => !row.hidden);
  passing.forEach((row, place) => row.classList.toggle("later", place >= shown && !row.classList.contains("hit")));
  const more = at("more"), rest = passing.length - shown;
  more.hidden = rest <= 0;
  if (rest <= 0) return;
  const next = make("button", `Show ${Math.min(rest, 2 * STEP)} more`), all = make("button", `Show all ${passing.length}`);
  next.type = all.type = "button";
  next.addEventListener("click", () => { shown += 2 * STEP; page(); });
  all.addEventListener("click", () => { shown = Infinity; page(); });
  more.replaceChildren(next, " ", all);
}

function filter() {
  const wanted = wishes();
  let count = 0, all = 0;
  for (const row of bodyRows) {
    const measured = !split || row.dataset.s.split(" ").includes(split);
    row.hidden = !(measured && Object.entries(wanted).every(([name, text]) => TESTS[name](row, text)));
    count += !row.hidden;
    all += measured;
  }
  at("shown").textContent = `${count} of ${all} rows`;
  shown = STEP;
  page();
  remember();
  onFilter();
}

function choose(name) {
  // One control for the columns, their order and the charts.
  split = name;
  for (const button of at("split").children) button.setAttribute("aria-pressed", String(button.textContent === split));
  heads.forEach((head, column) => {
    if (head.dataset.split === undefined) return;
    const off = head.dataset.split !== split;
    head.hidden = off;
    for (const row of bodyRows) row.cells[column].hidden = off;
  });
  sort();
  filter();
}

function splittable() {
  if (!at("split")) return;
  at("split").hidden = splits.length < 2;
  for (const name of splits) {
    const button = make("button", name);
    button.type = "button";
    button.addEventListener("click", () => choose(name));
    at("split").append(button);
  }
}

function pinnable() {
  if (!at("pinned")) return;
  const label = () => {
    at("pinned").hidden = !pins.size;
    at("pinned").querySelector("span").textContent = `pinned only (${pins.size})`;
    if (!pins.size) at("filters").elements.pinned.checked = false;
  };
  for (const row of bodyRows) {
    const button = make("button", "", "pin"), show = () => {
      button.setAttribute("aria-pressed", String(pins.has(row.id)));
      row.classList.toggle("pinned", pins.has(row.id));
    };
    button.type = "button";
    button.title = "Pin this row to compare it";
    button.setAttribute("aria-label", `Pin ${row.cells[0].querySelector("bdi").textContent}`);
    button.addEventListener("click", () => {
      if (!pins.delete(row.id)) pins.add(row.id);
      show();
      label();
      filter();
    });
    row.cells[0].prepend(button);
    show();
  }
  label();
}

function filterable() {
  const form = at("filters");
  form.hidden = false;
  for (const [name, text] of new URLSearchParams(location.search)) {
    const field = form.elements[name];
    if (name === "split" && splits.includes(text)) split = text;
    else if (name === "pin") for (const id of text.split(" ")) { if (at(id)) pins.add(id); }
    else if (name === "sort") { const key = text.replace(/^-/, ""); if (columnOf(key) >= 0) sorting = { key, way: text === key ? 1 : -1 }; }
    else if (field && field.type === "checkbox") field.checked = true; else if (field) field.value = text;
  }
  form.addEventListener("input", event => {
    if (event.target.name !== "sort") { filter(); return; }
    sorting = { key: event.target.value, way: firstWay(event.target.value) };
    sort();
    page();
    remember();
  });
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { sorting = { key: "", way: 1 }; sort(); filter(); }));
  const folded = form.querySelector("details");
  if (folded) folded.open = innerWidth > 832 || [...new FormData(form)].some(([name, text]) => text && name !== "q" && name !== "sort");
  const share = at("share");
  if (share && navigator.clipboard) {
    share.hidden = false;
    share.addEventListener("click", () => navigator.clipboard.writeText(location.href).then(() => { share.textContent = "Copied"; }));
  }
}

function goTo(id) {
  const row = at(id);
  if (!row) return;
  if (split && !row.dataset.s.split(" ").includes(split)) choose(row.dataset.s.split(" ")[0]);
  if (row.hidden) { at("filters").reset(); setTimeout(() => goTo(id)); return; }
  for (const other of document.querySelectorAll("tr.hit")) other.classList.remove("hit");
  row.classList.add("hit");
  page();
  row.scrollIntoView({ block: "center" });
  row.focus({ preventScroll: true });
  try { history.replaceState(null, "", `#${id}`); } catch { /* as above */ }
}

// --- charts

const FAMILIES = ["recursive", "direct", "llm", "solver", "trivial", "other"];
const colour = family => `var(--${FAMILIES.includes(family) ? family : "other"})`;
const short = (text, most = 30) => [...text].length > most ? `${[...text].slice(0, most - 1).join("")}…` : text;
const FAMILY_NAMES = { llm: "LLM", trivial: "baseline" };
const ruler = make("canvas").getContext("2d");

function wide(text, bold) {
  // Pixels of a text in a chart.
  ruler.font = `${bold ? "600 " : ""}12px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}

function fitting(text, room, cut) {
  // The longest cut that fits; what fits whole stays whole.
  let most = [...text].length, found = text;
  while (most > 4 && wide(found) > room) found = cut(text, --most);
  return found;
}

function inMiddle(text, most) {
  const letters = [...text], tail = Math.floor(most * 0.45);
  return `${letters.slice(0, most - tail - 1).join("")}…${letters.slice(-tail).join("")}`;
}

function namesThatFit(points, room) {
  // Names that would read alike keep their ends: "Claude … Max" and "Claude … High".
  const plain = points.map(point => fitting(point.s, room, short));
  const alike = name => plain.filter(other => other === name).length > 1;
  return new Map(points.map((point, place) => [point.id, alike(plain[place]) ? fitting(point.s, room, inMiddle) : plain[place]]));
}
const figure2 = number => number === undefined ? "" : number.toFixed(number % 1 && number > 99 ? 2 : 1);
const size = p => p >= 1e12 ? `${+(p / 1e12).toPrecision(3)}T` : p >= 1e9 ? `${+(p / 1e9).toPrecision(3)}B` : p >= 1e6 ? `${+(p / 1e6).toPrecision(3)}M` : p >= 1e3 ? `${+(p / 1e3).toPrecision(3)}K` : `${p}`;
const FRONT = 30;

function shape(box, least = 300) { return Math.max(least, Math.floor(box.clientWidth || 480)); }

function told(point) {
  const score = point.score, lines = [point.s, `${figure2(score.v)} %${score.l === undefined ? ", no interval published" : `, 95 % interval ${score.l.toFixed(1)} to ${score.h.toFixed(1)}`}`];
  // As printed: the number behind a range is only where its mark stands.
  if (point.t) lines.push(`${point.t} parameters`);
  if (point.a) lines.push(`${point.a} samples at test`);
  if (score.c !== undefined) lines.push(`$${score.c} per puzzle, ${point.b}`);
  if (point.w) lines.push(`${size(point.w)} FLOPs per puzzle`);
  if (!point.k) lines.push("shown, not ranked");
  return lines.join("\n");
}

function front(points) {
  // Nothing is both cheaper and better than a point of the front.
  const sorted = [...points].sort((a, b) => a.x - b.x || b.y - a.y), found = [];
  let best = -1;
  for (const point of sorted) if (point.y > best) { found.push(point); best = point.y; }
  return found;
}

function draw(box, label, options, after) {
  const svg = Plot.plot({ style: { fontSize: "12px" }, ...options });
  const plain = svg.tagName.toLowerCase() === "svg" ? svg : svg.querySelector("svg");
  plain.setAttribute("role", "img");
  plain.setAttribute("aria-label", label);
  box.replaceChildren(svg);
  downloadable(box, plain, label);
  svg.addEventListener("input", () => plain.classList.toggle("hot", Boolean(svg.value && (svg.value.id || svg.value.href))));
  svg.addEventListener("click", () => {
    if (svg.value && svg.value.id) goTo(svg.value.id);
    if (svg.value && svg.value.href) location.href = new URL(svg.value.href, siteRoot).href;
  });
  if (after) after(svg);
}

const PAINT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "fill-opacity", "opacity", "font-family", "font-size", "font-weight", "text-anchor"];

function downloadable(box, svg, label) {
  const figure = box.closest("figure"), caption = figure.querySelector("figcaption");
  let button = caption.querySelector(".png");
  if (!button) {
    button = make("button", "PNG", "png");
    button.type = "button";
    button.setAttribute("aria-label", "Save this chart as a picture");
    caption.append(button);
  }
  button.onclick = () => picture(svg, box, label.slice(0, 60).replace(/[^A-Za-z0-9]+/g, "-").toLowerCase());
}

function picture(svg, box, name) {
  // A picture knows nothing of the page: every colour goes into the marks themselves.
  const copy = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, place) => { const style = getComputedStyle(element); for (const key of PAINT) to[place].style.setProperty(key, style.getPropertyValue(key)); });
  const { width, height } = svg.viewBox.baseVal, image = new Image(), canvas = make("canvas");
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  image.onload = () => {
    canvas.width = 2 * width;
    canvas.height = 2 * height;
    const ink = canvas.getContext("2d");
    ink.fillStyle = getComputedStyle(box.closest("figure")).backgroundColor;
    ink.fillRect(0, 0, canvas.width, canvas.height);
    ink.drawImage(image, 0, 0, canvas.width, canvas.height);
    const link = make("a");
    link.download = `${name}.png`;
    link.href = canvas.toDataURL("image/png");
    link.click();
    box.dataset.saved = link.download;
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
}

const siteRoot = new URL("..", document.querySelector("script[src$='board.js']").src).href;
const none = (box, text) => box.replaceChildren(make("p", text, "none"));
const tip = { fill: "var(--card)", stroke: "var(--line)", textPadding: 8, fontSize: 12.5, lineWidth: 26 };

function legend(box, families) {
  const list = make("div", undefined, "legend");
  for (const family of FAMILIES.filter(name => families.has(name))) list.append(make("span", FAMILY_NAMES[family] || family, `fam fam-${family}`));
  box.append(list);
}

function byTurns(points, most) {
  // The best of every family by turns: forty language models would leave nothing else to see.
  const sorted = [...points].sort((a, b) => b.score.v - a.score.v), place = new Map(), count = {};
  for (const point of sorted) place.set(point, count[point.f] = (count[point.f] || 0) + 1);
  return sorted.sort((a, b) => place.get(a) - place.get(b)).slice(0, most);
}

function chartScores(points, column) {
  const box = at("chart-scores"), ours = points.filter(point => point.o), ranked = points.filter(point => point.k || point.o);
  if (!ranked.length) { none(box, "No ranked score passes the filters."); return; }
  const own = byTurns(ours, FRONT), shown = [...own, ...byTurns(ranked.filter(point => !point.o), Math.max(12, FRONT - own.length))].sort((a, b) => b.score.v - a.score.v);
  const width = shape(box), left = Math.min(230, Math.round(width * 0.44)), names = namesThatFit(shown, left - 14);
  draw(box, `${shown.length} scores on ${column} with their intervals; the table below has the same numbers`, {
    width, height: 44 + 19 * shown.length, marginLeft: left, marginRight: 16, marginTop: 4, marginBottom: 40,
    x: { domain: [0, 100], grid: true, label: `${column}, percent`, labelAnchor: "center", labelArrow: "none" },
    y: { domain: shown.map(point => point.id), label: null, tickFormat: id => names.get(id), tickSize: 0 },
    marks: [
      Plot.ruleY(shown.filter(point => point.score.l !== undefined), { y: "id", x1: point => point.score.l, x2: point => point.score.h, stroke: point => colour(point.f), strokeWidth: 5, strokeOpacity: 0.35, strokeLinecap: "round" }),
      Plot.dot(shown, { y: "id", x: point => point.score.v, r: 4.5, fill: point => colour(point.f), stroke: point => point.o ? "var(--ink)" : "none", strokeWidth: 1.5 }),
      Plot.tip(shown, Plot.pointer({ y: "id", x: point => point.score.v, title: told, maxRadius: 60, ...tip })),
    ],
  });
  legend(box, new Set(shown.map(point => point.f)));
  if (ranked.length > shown.length) box.append(make("p", `${ranked.length - shown.length} more in the table.`, "soft small"));
}

const INKS = ["var(--accent)", "var(--recursive)", "var(--solver)", "var(--direct)", "var(--other)", "var(--soft)"];

const AXES = {
  size: ["network parameters", point => point.p, size],
  dollars: ["$ per puzzle", point => point.score.c, value => `$${+value.toPrecision(2)}`],
  flops: ["FLOPs per puzzle", point => point.w, size],
};

// Axes along which some row of the task can be drawn; a single point against anything says nothing.
const axesOf = told => Object.keys(AXES).filter(name => told.rows.filter(row => told.columns.some(column => row.r[column] && AXES[name][1]({ ...row, score: row.r[column] }))).length > 1);

function named(points, column) {
  // Names that would lie on one another are moved apart, the upper one up.
  return points.filter(point => point.n && point.n[column]).map(point => ({ ...point, name: point.n[column] })).sort((a, b) => b.y - a.y);
}

function apart(labels, width, height) {
  const texts = [...labels].map(label => ({ ...label }));
  for (const text of texts) {
    text.wide = wide(text.short, true);
    text.right = text.px + 9 + text.wide < width;
    text.x0 = text.right ? text.px + 8 : text.px - 8 - text.wide;
    text.ly = text.py;
  }
  const placed = [];
  for (const text of texts) {
    const clash = y => placed.some(other => Math.abs(other.ly - y) < 15 && text.x0 < other.x0 + other.wide && other.x0 < text.x0 + text.wide);
    const tries = [0, 15, -15, 30, -30, 45, -45, 60].map(by => text.py + by).filter(y => y > 6 && y < height);
    text.ly = tries.find(y => !clash(y)) ?? text.py;
    placed.push(text);
  }
  return placed;
}

function chartScatter(box, points, axis, column, whole) {
  const [label, get, ticks] = AXES[axis], ranked = points.filter(point => point.k || point.o);
  const kindOf = point => axis === "dollars" ? point.b : "";
  const drawn = ranked.filter(get).map(point => ({ ...point, x: get(point), y: point.score.v, z: kindOf(point) }));
  // Who does not say how large it is stands in a strip of its own at the right.
  const silent = axis === "size" ? ranked.filter(point => !point.p && (point.f === "llm" || (point.n && point.n[column]))).map(point => ({ ...point, y: point.score.v, z: "" })) : [];
  if (!drawn.length && !silent.length) { none(box, "No row that passes the filters states it."); return; }
  // Costs of another kind do not compare: each kind has its own front.
  const line = [...new Set(drawn.map(point => point.z))].flatMap(kind => front(drawn.filter(point => point.k && point.z === kind)));
  const width = shape(box), height = whole ? 340 : 300, narrow = width < 560, left = 40, right = 18, low = 38, high = 14;
  const strip = silent.length ? (narrow ? 74 : 130) : 0, edge = width - right - strip;
  const xs = drawn.map(point => point.x), from = Math.log10(Math.min(...xs, Infinity) * 0.7), to = Math.log10(Math.max(...xs, -Infinity) * 1.4);
  const across = x => drawn.length ? left + (Math.log10(x) - from) / (to - from) * (edge - 14 - left) : left;
  const up = y => high + (100 - y) / 100 * (height - high - low);
  let seed = 7;
  const shake = () => (seed = seed * 16807 % 2147483647) / 2147483647;
  const all = [...drawn.map(point => ({ ...point, px: across(point.x), py: up(point.y) })), ...silent.map(point => ({ ...point, px: edge + 14 + (strip - 40) * shake(), py: up(point.y) }))];
  const labels = apart(named(all, column).map(point => ({ ...point, short: fitting(point.name, narrow ? 150 : 220, short) })), width - 4, height - low);
  const powers = [], beside = { y: "ly", text: "short", fill: "var(--ink)", stroke: "var(--card)", strokeWidth: 4, fontWeight: 600 };
  for (let power = Math.ceil(from); drawn.length && power <= to; power += Math.max(1, Math.ceil(46 * (to - from) / (edge - 14 - left)))) powers.push(10 ** power);
  draw(box, `Score on ${column} against ${label}: ${all.length} systems, ${labels.map(one => `${one.name} ${figure2(one.score.v)}`).join(", ")}`, {
    width, height, marginLeft: left, marginBottom: low, marginRight: right, marginTop: high,
    x: { type: "identity", axis: null }, y: { type: "identity", axis: null },
    marks: [
      Plot.ruleY([0, 20, 40, 60, 80, 100], { y: up, x1: left, x2: width - right, stroke: "var(--line)" }),
      Plot.text([0, 20, 40, 60, 80, 100], { x: left - 8, y: up, text: value => `${value}`, textAnchor: "end", fill: "var(--soft)" }),
      Plot.text(powers, { x: across, y: height - low + 14, text: ticks, fill: "var(--soft)" }),
      Plot.text([label], { x: left + (edge - left) / 2, y: height - 6, text: value => value, fill: "var(--soft)" }),
      ...(strip ? [Plot.ruleX([edge], { y1: high, y2: height - low, stroke: "var(--line)" }), Plot.text([narrow ? "no size" : "size not published"], { x: edge + strip / 2, y: height - low + 14, text: value => value, fill: "var(--soft)" })] : []),
      Plot.line(line.map(point => ({ ...point, px: across(point.x), py: up(point.y) })), { x: "px", y: "py", z: "z", curve: "step-after", stroke: "var(--soft)", strokeDasharray: "4 3" }),
      Plot.ruleX(all.filter(point => point.score.l !== undefined && point.n && point.n[column]), { x: "px", y1: point => up(point.score.l), y2: point => up(point.score.h), stroke: point => colour(point.f), strokeOpacity: 0.45, strokeWidth: 3 }),
      Plot.dot(all, { x: "px", y: "py", r: point => point.n && point.n[column] ? 5.5 : 3.5, fill: point => colour(point.f), fillOpacity: point => point.n && point.n[column] ? 1 : 0.45, symbol: point => point.z === "compute share" ? "diamond" : "circle", stroke: point => point.o ? "var(--ink)" : "none", strokeWidth: 1.5 }),
      Plot.text(labels.filter(point => point.right), { ...beside, x: point => point.px + 8, textAnchor: "start" }),
      Plot.text(labels.filter(point => !point.right), { ...beside, x: point => point.px - 8, textAnchor: "end" }),
      Plot.tip(all, Plot.pointer({ x: "px", y: "py", title: told, ...tip })),
    ],
  });
  legend(box, new Set(all.map(point => point.f)));
}

function chartSteps(box, all) {
  // As many as there are inks: more lines could not be told apart.
  const last = curve => curve.y[curve.y.length - 1], curves = [...all].sort((a, b) => last(b) - last(a)).slice(0, INKS.length);
  const points = curves.flatMap(curve => curve.y.map((y, place) => ({ x: place + 1, y, name: curve.name, href: curve.href, n: curve.n })));
  box.closest("figure").hidden = !points.length;
  if (!points.length) return;
  const ink = href => INKS[curves.findIndex(curve => curve.href === href)], most = Math.max(...points.map(point => point.x));
  draw(box, `Accuracy against supervision steps of ${curves.length} records`, {
    width: shape(box), height: 280, marginLeft: 40, marginBottom: 38, marginRight: 18,
    x: { label: "supervision steps", labelAnchor: "center", labelArrow: "none", domain: [1, Math.max(2, most)], ticks: Math.min(most, 16), tickFormat: "d" },
    y: { domain: [0, [5, 10, 25, 50].find(top => Math.max(...points.map(point => point.y)) <= top * 0.9) || 100], grid: true, label: "percent", labelArrow: "none", ticks: 5 },
    marks: [
      Plot.line(points, { x: "x", y: "y", z: "href", stroke: point => ink(point.href), strokeWidth: 2 }),
      Plot.dot(points, { x: "x", y: "y", r: 2.5, fill: point => ink(point.href) }),
      Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: point => `${point.name}\nstep ${point.x}: ${figure2(point.y)} %\nn = ${point.n.toLocaleString("en")}`, ...tip })),
    ],
  });
  const list = make("div", undefined, "legend");
  for (const curve of curves) {
    const entry = make("span", short(curve.name, 40), "fam");
    entry.style.setProperty("--dot", ink(curve.href));
    list.append(entry);
  }
  box.append(list);
  if (all.length > curves.length) box.append(make("p", `The best ${curves.length} of ${all.length} records.`, "soft small"));
}

const visible = (told, column) => told.rows.filter(row => row.r[column]).map(row => ({ ...row, score: row.r[column] }));

function taskCharts(told) {
  const section = at("charts"), kinds = at("cost-kind");
  if (!told.rows.length) return;
  section.hidden = false;
  for (const name of axesOf(told)) kinds.append(new Option(AXES[name][0], name));
  kinds.closest("figure").hidden = !kinds.options.length;
  function redraw() {
    const points = visible(told, split).filter(row => !at(row.id).hidden);
    chartScores(points, split);
    if (kinds.options.length) chartScatter(at("chart-picture"), points, kinds.value, split, false);
    if (at("chart-steps")) chartSteps(at("chart-steps"), told.curves.filter(curve => curve.c === split));
  }
  kinds.addEventListener("change", redraw);
  onFilter = redraw;
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
}

function tabs(box, names, label, chosen, act) {
  box.replaceChildren(...names.map(name => {
    const button = make("button", label(name));
    button.type = "button";
    button.dataset.name = name;
    button.setAttribute("aria-pressed", String(name === chosen));
    button.addEventListener("click", () => act(name));
    return button;
  }));
  box.hidden = names.length < 2;
}

function firstPicture(tasks) {
  const told = tasks.filter(one => axesOf(one).length);
  if (!told.length) return;
  const kept = new URLSearchParams(location.search);
  let task = told.find(one => one.task === kept.get("task")) || told[0], column = "", axis = "", moved = false;
  const move = change => { change(); moved = true; redraw(); };
  const redraw = () => {
    column = task.columns.includes(column) ? column : task.columns.includes(kept.get("split")) ? kept.get("split") : task.columns[0];
    const axes = axesOf(task);
    axis = axes.includes(axis) ? axis : axes.includes(kept.get("x")) ? kept.get("x") : axes[0];
    tabs(at("picture-task"), told.map(one => one.task), name => told.find(one => one.task === name).title, task.task, name => move(() => { task = told.find(one => one.task === name); }));
    tabs(at("picture-split"), task.columns, name => name, column, name => move(() => { column = name; }));
    tabs(at("picture-x"), axes, name => name === "size" ? "by size" : name === "dollars" ? "by cost" : "by FLOPs", axis, name => move(() => { axis = name; }));
    const caption = at("picture-caption");
    caption.replaceChildren(`${task.title}, ${column}: ${task.metric} in percent`);
    chartScatter(at("chart-picture"), visible(task, column), axis, column, true);
    const link = make("a", "All scores");
    link.href = `tasks/${task.task}.html${column === task.columns[0] ? "" : `?split=${column}`}`;
    caption.append(link);
    if (moved) try { history.replaceState(null, "", `?${new URLSearchParams({ task: task.task, split: column, x: axis })}`); } catch { /* some browsers keep file addresses as they are */ }
  };
  at("picture").hidden = false;
  redraw();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
}

function recordCharts(told) {
  const section = at("charts");
  section.hidden = !(told.curves.length || told.bins.length || told.halts.length);
  // All figures first: a chart is drawn to the width that is left once its neighbours are there.
  for (const [id, points] of [["chart-steps", told.curves], ["chart-calibration", told.bins], ["chart-halts", told.halts]]) at(id).closest("figure").hidden = !points.length;
  if (told.curves.length) chartSteps(at("chart-steps"), told.curves);
  const square = { height: 280, marginLeft: 40, marginBottom: 38, marginRight: 18 };
  if (told.bins.length) draw(at("chart-calibration"), "Halting score against accuracy", {
    ...square, width: shape(at("chart-calibration")), r: { range: [3, 16] },
    x: { domain: [0, 1], label: "mean halting score", labelAnchor: "center", labelArrow: "none" }, y: { domain: [0, 1], grid: true, label: "accuracy", labelArrow: "none" },
    marks: [
      Plot.line([[0, 0], [1, 1]], { stroke: "var(--soft)", strokeDasharray: "3 3" }),
      Plot.dot(told.bins, { x: "x", y: "y", r: "n", fill: "var(--accent)", fillOpacity: 0.55, stroke: "var(--accent)" }),
      Plot.tip(told.bins, Plot.pointer({ x: "x", y: "y", title: bin => `halting score ${bin.x}\naccuracy ${bin.y}\n${bin.n.toLocaleString("en")} puzzles`, ...tip })),
    ],
  });
  if (told.halts.length) draw(at("chart-halts"), "Accuracy against mean steps at other halting thresholds", {
    ...square, width: shape(at("chart-halts")),
    x: { domain: [1, Math.max(2, ...told.curves.map(curve => curve.y.length))], label: "mean steps", labelAnchor: "center", labelArrow: "none", tickFormat: "d" }, y: { domain: [0, 100], grid: true, label: "percent", labelArrow: "none" },
    marks: [
      Plot.line(told.halts, { x: "x", y: "y", stroke: "var(--accent)" }), Plot.dot(told.halts, { x: "x", y: "y", r: 3, fill: "var(--accent)" }),
      Plot.tip(told.halts, Plot.pointer({ x: "x", y: "y", title: one => `halting above ${one.t}\n${figure2(one.y)} % after ${one.x} steps on average`, ...tip })),
    ],
  });
}

// --- the viewer

const ARC = ["#101114", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00", "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25", "#ffffff"];
const MAZE = { 0: "var(--bad)", 1: "var(--wall)", 2: "var(--floor)", 3: "#22a35a", 4: "#e0452f", 5: "var(--path)" };
const BOXES = { 4: [2, 2], 6: [2, 3], 9: [3, 3] };
const grid = text => text === null ? null : text === "" ? [] : text.split("/").map(row => [...row].map(c => parseInt(c, 36)));

function paintCells(body, cells, family, input, changed, wrong, name) {
  body.replaceChildren();
  if (!cells || !cells.length) { body.className = ""; body.textContent = cells ? "(empty)" : "(no answer)"; return; }
  body.className = "cells";
  body.style.setProperty("--columns", cells[0].length);
  if (family === "maze") body.style.setProperty("--gap", "0px");
  body.setAttribute("role", "img");
  body.setAttribute("aria-label", `${name}: ${cells.length} rows, ${cells[0].length} columns${family === "sudoku" ? `. ${cells.map(row => row.join(" ")).join("; ")}` : ""}`);
  const [high, wide] = family === "sudoku" ? BOXES[cells.length] || [0, 0] : [0, 0];
  cells.forEach((row, r) => row.forEach((value, c) => {
    const cell = make("div");
    if (family === "sudoku") {
      cell.textContent = value ? value.toString(36) : "";
      cell.classList.add(input && input[r] && input[r][c] ? "g" : "a");
      if (wide && (c + 1) % wide === 0 && c + 1 < row.length) cell.classList.add("bx");
      if (high && (r + 1) % high === 0 && r + 1 < cells.length) cell.classList.add("by");
    } else cell.style.background = family === "maze" ? MAZE[value] || "var(--bad)" : ARC[value % ARC.length];
    if (changed && changed(r, c)) cell.classList.add("changed");
    if (wrong && wrong(r, c)) cell.classList.add("wrong");
    body.append(cell);
  }));
}

function viewer(told) {
  const films = told.films, stage = at("grids");
  let film = null, frames = [], place = 0, timer = null, answerBody = null;
  at("viewer").hidden = false;
  const buttons = films.map((one, number) => {
    const button = make("button");
    button.type = "button";
    button.append(make("span", one.puzzle), make("span", one.right ? "✓" : "✗", one.right ? "r" : "w"));
    button.setAttribute("aria-label", `${one.puzzle}, ${one.right ? "right" : "wrong"}`);
    button.addEventListener("click", () => choose(number));
    at("picker").append(button);
    return button;
  });
  function choose(number) {
    stop();
    film = films[number];
    frames = [];
    for (const text of film.frames) frames.push(text === "=" ? frames[frames.length - 1] : grid(text));
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === number)));
    stage.replaceChildren();
    const known = [grid(film.input), grid(film.answer), ...frames].filter(cells => cells && cells.length);
    const widest = Math.max(...known.map(cells => Math.max(cells.length, cells[0].length))), room = stage.clientWidth || 600;
    const across = room > 560 ? (room - 48) / 3 : room - 8;
    stage.style.setProperty("--cell", `${Math.max(5, Math.min(44, Math.floor(Math.min(across, 380) / widest - (told.family === "maze" ? 0 : 1))))}px`);
    const main = make("div", undefined, "grids"), shown = make("div", undefined, "grids shown");
    const panel = (place, name) => { const box = make("div"), body = make("div"); box.append(make("p", name), body); place.append(box); return body; };
    paintCells(panel(main, "input"), grid(film.input), told.family, grid(film.input), null, null, "input");
    answerBody = panel(main, "answer of the model");
    answerBody.id = "answer";
    paintCells(panel(main, "right answer"), grid(film.answer), told.family, grid(film.input), null, null, "right answer");
    (film.demonstrations || []).slice(0, 4).forEach((pair, number) => pair.forEach((text, side) => {
      const cells = grid(text), body = panel(shown, side ? "→" : `demonstration ${number + 1}`);
      body.style.setProperty("--cell", `${Math.max(3, Math.min(14, Math.floor(130 / Math.max(cells.length, cells[0].length))))}px`);
      paintCells(body, cells, told.family, null, null, null, `demonstration ${number + 1}`);
    }));
    stage.append(main, shown);
    at("place").max = frames.length - 1;
    show(frames.length > 1 ? 0 : frames.length - 1);
  }
  function show(wanted) {
    const last = frames.length - 1;
    place = Math.max(0, Math.min(last, wanted));
    const now = frames[place], before = place ? frames[place - 1] : now, right = grid(film.answer);
    const unlike = other => (r, c) => !other || !other[r] || other[r][c] !== now[r][c];
    const changed = place ? unlike(before) : () => false, sized = now && right && now.length === right.length && (now[0] || []).length === (right[0] || []).length;
    // Of a grid of another size every cell is wrong, which crosses would not say better than words.
    const wrong = place === last && sized ? unlike(right) : null;
    paintCells(answerBody, now, told.family, grid(film.input), wrong && last && !film.right ? null : changed, wrong, `answer after step ${film.first + place}`);
    const count = now ? now.flatMap((row, r) => row.map((_, c) => changed(r, c))).filter(Boolean).length : 0;
    const parts = [`Step ${film.first + place} of ${film.first + last}`];
    const logit = film.halts[film.first + place - 1];
    if (last && typeof logit === "number") parts.push(`halting score ${(1 / (1 + Math.exp(-logit))).toFixed(3)}`);
    if (place) parts.push(`${count} ${count === 1 ? "cell" : "cells"} changed`);
    if (place === last) parts.push(film.right ? "right" : !now ? "wrong: no answer" : sized ? `wrong in ${now.flatMap((row, r) => row.map((_, c) => wrong(r, c))).filter(Boolean).length} cells` : `wrong: its size is ${now.length}x${(now[0] || []).length}, not ${right.length}x${right[0].length}`);
    at("state").textContent = parts.join(", ");
    at("place").value = place;
    at("back").disabled = place === 0;
    at("next").disabled = place === last;
    at("play").disabled = at("place").disabled = last === 0;
  }
  function stop() { clearInterval(timer); timer = null; at("play").textContent = "Play"; }
  function toggle() {
    if (timer !== null) { stop(); return; }
    if (place === frames.length - 1) show(0);
    at("play").textContent = "Pause";
    timer = setInterval(() => { show(place + 1); if (place === frames.length - 1) stop(); }, 600);
  }
  const step = by => { stop(); show(place + by); };
  at("place").addEventListener("input", event => { stop(); show(Number(event.target.value)); });
  at("back").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("play").addEventListener("click", toggle);
  addEventListener("keydown", event => {
    const inside = at("viewer").contains(document.activeElement) || document.activeElement === document.body;
    if (!inside || event.altKey || event.ctrlKey || event.metaKey || event.target.type === "range") return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") { event.preventDefault(); step(event.key === "ArrowLeft" ? -1 : 1); }
    if (event.key === " " && event.target.tagName !== "BUTTON" && document.activeElement !== document.body) { event.preventDefault(); toggle(); }
  });
  choose(0);
}

// --- start

// The films of a record come in a script of their own, which calls this.
window.showFilms = told => { at("films").hidden = true; viewer(told); };

function loadFilms() {
  const place = at("films"), load = () => { const script = make("script"); script.src = place.dataset.src; document.head.append(script); };
  const seen = new IntersectionObserver(entries => { if (entries.some(entry => entry.isIntersecting)) { seen.disconnect(); load(); } }, { rootMargin: "200px" });
  seen.observe(place);
}

addEventListener("DOMContentLoaded", () => {
  // Notes stand open where there is room, and without this script.
  for (const notes of document.querySelectorAll("details.remarks")) notes.open = innerWidth > 832;
  if (board && at("filters")) { sortable(); splittable(); filterable(); pinnable(); }
  if (at("charts-data")) taskCharts(data("charts-data"));
  if (at("picture-data")) firstPicture(data("picture-data"));
  if (board && at("filters")) { if (split) choose(split); else { sort(); filter(); } }
  if (at("record-data")) recordCharts(data("record-data"));
  if (at("films")) loadFilms();
  if (at("copy") && navigator.clipboard) {
    at("copy").hidden = false;
    at("copy").addEventListener("click", () => navigator.clipboard.writeText(at("command").textContent).then(() => { at("copy").textContent = "Copied"; }));
  }
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (wanted && at(wanted) && at(wanted).tagName === "TR") goTo(wanted);
});
addEventListener("hashchange", () => { const id = decodeURIComponent(location.hash.slice(1)); if (at(id) && at(id).tagName === "TR") goTo(id); });
