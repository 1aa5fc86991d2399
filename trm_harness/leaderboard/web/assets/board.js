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

// --- the table: sorting and filters

const board = at("board");
const bodyRows = board ? [...board.tBodies[0].rows] : [];
let onFilter = () => {};

function value(row, column, kind) {
  const cell = row.cells[column], text = cell.dataset.v ?? (kind === "number" ? "" : cell.textContent.trim().toLowerCase());
  if (kind !== "number") return text.toLowerCase();
  return text === "" ? null : Number(text);
}

function sort(column, kind, way) {
  const sorted = [...bodyRows].sort((a, b) => {
    const x = value(a, column, kind), y = value(b, column, kind);
    // Rows that say nothing stay at the end whichever way.
    if (x === null || y === null || x === "" || y === "") return (x === null || x === "") - (y === null || y === "");
    return (kind === "number" ? x - y : x.localeCompare(y, "en")) * way;
  });
  board.tBodies[0].append(...sorted);
}

function sortable() {
  const heads = [...board.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const kind = head.dataset.sort;
    if (!kind) return;
    const button = make("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const first = kind === "number" && head.dataset.split !== undefined ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const now = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach(one => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", now);
      sort(column, kind, now === "ascending" ? 1 : -1);
    });
  });
}

const SIZES = { tiny: p => p <= 1e7, small: p => p > 1e7 && p <= 1e9, large: p => p > 1e9 };
const TESTS = {
  q: (row, wanted) => row.textContent.toLowerCase().includes(wanted.toLowerCase()),
  family: (row, wanted) => row.dataset.f === wanted,
  training: (row, wanted) => row.dataset.t === wanted,
  level: (row, wanted) => wanted === "ours" ? row.classList.contains("ours") : row.dataset.l === wanted,
  split: (row, wanted) => row.dataset.s.split(" ").includes(wanted),
  size: (row, wanted) => wanted === "unknown" ? !row.dataset.p : Boolean(row.dataset.p) && SIZES[wanted](Number(row.dataset.p)),
  ranked: row => !row.classList.contains("un"),
  verdict: (row, wanted) => row.dataset.d === wanted,
  task: (row, wanted) => row.dataset.k === wanted,
};

function filter() {
  const wanted = Object.fromEntries([...new FormData(at("filters"))].filter(([, text]) => text));
  let count = 0;
  for (const row of bodyRows) {
    row.hidden = !Object.entries(wanted).every(([name, text]) => TESTS[name](row, text));
    count += !row.hidden;
  }
  // One set of puzzles asked for: the columns of the others say nothing then.
  for (const [column, head] of [...board.tHead.rows[0].cells].entries()) {
    if (head.dataset.split === undefined) continue;
    const off = Boolean(wanted.split) && wanted.split !== head.dataset.split;
    head.hidden = off;
    for (const row of bodyRows) row.cells[column].hidden = off;
  }
  at("shown").textContent = `${count} of ${bodyRows.length} rows`;
  try { history.replaceState(null, "", `?${new URLSearchParams(wanted)}${location.hash}`.replace(/^\?(?=#|$)/, location.pathname)); } catch { /* some browsers keep file addresses as they are */ }
  onFilter(wanted);
}

function filterable() {
  const form = at("filters");
  form.hidden = false;
  for (const [name, text] of new URLSearchParams(location.search)) {
    const field = form.elements[name];
    if (field && field.type === "checkbox") field.checked = true; else if (field) field.value = text;
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
}

function goTo(id) {
  const row = at(id);
  if (!row) return;
  if (row.hidden) { at("filters").reset(); setTimeout(() => goTo(id)); return; }
  for (const other of document.querySelectorAll("tr.hit")) other.classList.remove("hit");
  row.classList.add("hit");
  row.scrollIntoView({ block: "center" });
  row.focus({ preventScroll: true });
  try { history.replaceState(null, "", `#${id}`); } catch { /* as above */ }
}

// --- charts

const FAMILIES = ["recursive", "direct", "llm", "solver", "trivial", "other"];
const colour = family => `var(--${FAMILIES.includes(family) ? family : "other"})`;
const short = (text, most = 30) => [...text].length > most ? `${[...text].slice(0, most - 1).join("")}…` : text;
const figure2 = number => number === undefined ? "" : number.toFixed(number % 1 && number > 99 ? 2 : 1);
const size = p => p >= 1e12 ? `${+(p / 1e12).toPrecision(3)}T` : p >= 1e9 ? `${+(p / 1e9).toPrecision(3)}B` : p >= 1e6 ? `${+(p / 1e6).toPrecision(3)}M` : p >= 1e3 ? `${+(p / 1e3).toPrecision(3)}K` : `${p}`;
const FRONT = 30;

function shape(box, least = 300) { return Math.max(least, Math.floor(box.clientWidth || 480)); }

function told(point) {
  const score = point.score, lines = [point.s, `${figure2(score.v)} %${score.l === undefined ? ", no interval published" : `, 95 % interval ${score.l.toFixed(1)} to ${score.h.toFixed(1)}`}`];
  if (point.p) lines.push(`${size(point.p)} parameters`);
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
  svg.addEventListener("input", () => plain.classList.toggle("hot", Boolean(svg.value && (svg.value.id || svg.value.href))));
  svg.addEventListener("click", () => {
    if (svg.value && svg.value.id) goTo(svg.value.id);
    if (svg.value && svg.value.href) location.href = new URL(svg.value.href, siteRoot).href;
  });
  if (after) after(svg);
}

const siteRoot = new URL("..", document.querySelector("script[src$='board.js']").src).href;
const none = (box, text) => box.replaceChildren(make("p", text, "none"));
const tip = { fill: "var(--card)", stroke: "var(--line)", textPadding: 8, fontSize: 12.5, lineWidth: 26 };

function legend(box, families) {
  const list = make("div", undefined, "legend");
  for (const family of FAMILIES.filter(name => families.has(name))) list.append(make("span", family, `fam fam-${family}`));
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
  const shown = [...ours, ...byTurns(ranked.filter(point => !point.o), Math.max(12, FRONT - ours.length))].sort((a, b) => b.score.v - a.score.v);
  const width = shape(box), left = Math.min(230, Math.round(width * 0.44));
  const names = new Map(shown.map(point => [point.id, short(point.s, Math.floor((left - 14) / 6.9))]));
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

function chartScatter(box, points, label, column, ticks) {
  const ranked = points.filter(point => point.k || point.o);
  if (!ranked.length) { none(box, "No row that passes the filters states it."); return; }
  // Costs of another kind do not compare: each kind has its own front.
  const kinds = new Set(ranked.map(point => point.z));
  const line = [...kinds].flatMap(kind => front(ranked.filter(point => point.k && point.z === kind)));
  draw(box, `Score on ${column} against ${label}: ${ranked.length} systems; the table below has the same numbers`, {
    width: shape(box), height: 270, marginLeft: 40, marginBottom: 38, marginRight: 18,
    x: { type: "log", label, labelAnchor: "center", labelArrow: "none", tickFormat: ticks, ticks: 6, nice: true },
    y: { domain: [0, 100], grid: true, label: "percent", labelArrow: "none", ticks: 5 },
    marks: [
      Plot.line(line, { x: "x", y: "y", z: "z", curve: "step-after", stroke: "var(--soft)", strokeDasharray: "4 3" }),
      Plot.ruleX(ranked.filter(point => point.score.l !== undefined), { x: "x", y1: point => point.score.l, y2: point => point.score.h, stroke: point => colour(point.f), strokeOpacity: 0.45, strokeWidth: 3 }),
      Plot.dot(ranked, { x: "x", y: "y", r: 4.5, fill: point => colour(point.f), fillOpacity: 0.85, symbol: point => point.z === "compute share" ? "diamond" : "circle", stroke: point => point.o ? "var(--ink)" : "none", strokeWidth: 1.5 }),
      Plot.tip(ranked, Plot.pointer({ x: "x", y: "y", title: told, ...tip })),
    ],
  });
  legend(box, new Set(ranked.map(point => point.f)));
}

function chartSteps(box, curves) {
  const points = curves.flatMap(curve => curve.y.map((y, place) => ({ x: place + 1, y, name: curve.name, href: curve.href, n: curve.n })));
  if (!points.length) return false;
  const names = [...new Set(curves.map(curve => curve.name))], inks = ["var(--accent)", "var(--recursive)", "var(--solver)", "var(--direct)", "var(--other)", "var(--llm)"];
  const ink = name => inks[names.indexOf(name) % inks.length], most = Math.max(...points.map(point => point.x));
  draw(box, `Accuracy against supervision steps of ${curves.length} records`, {
    width: shape(box), height: 280, marginLeft: 40, marginBottom: 38, marginRight: 18,
    x: { label: "supervision steps", labelAnchor: "center", labelArrow: "none", domain: [1, Math.max(2, most)], ticks: Math.min(most, 16), tickFormat: "d" },
    y: { domain: [0, [5, 10, 25, 50].find(top => Math.max(...points.map(point => point.y)) <= top * 0.9) || 100], grid: true, label: "percent", labelArrow: "none", ticks: 5 },
    marks: [
      Plot.line(points, { x: "x", y: "y", z: "href", stroke: point => ink(point.name), strokeWidth: 2 }),
      Plot.dot(points, { x: "x", y: "y", r: 2.5, fill: point => ink(point.name) }),
      Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: point => `${point.name}\nstep ${point.x}: ${figure2(point.y)} %\nn = ${point.n.toLocaleString("en")}`, ...tip })),
    ],
  });
  const list = make("div", undefined, "legend");
  for (const name of names) {
    const entry = make("span", short(name, 40), "fam");
    entry.style.setProperty("--dot", ink(name));
    list.append(entry);
  }
  box.append(list);
  return true;
}

const COSTS = {
  dollars: ["$ per puzzle", point => point.score.c, value => `$${+value.toPrecision(2)}`],
  flops: ["FLOPs per puzzle", point => point.w, size],
};

function taskCharts(told) {
  const section = at("charts"), tabs = at("column-tabs"), kinds = at("cost-kind");
  if (!told.rows.length) return;
  section.hidden = false;
  let column = told.columns[0];
  const buttons = told.columns.length > 1 ? told.columns.map(name => {
    const button = make("button", name);
    button.type = "button";
    button.addEventListener("click", () => { column = name; redraw(); });
    tabs.append(button);
    return button;
  }) : [];
  const visible = () => told.rows.filter(row => row.r[column] && !at(row.id).hidden).map(row => ({ ...row, score: row.r[column] }));
  for (const [name, [label, get]] of Object.entries(COSTS)) {
    const some = told.rows.filter(row => told.columns.some(one => row.r[one] && get({ ...row, score: row.r[one] })));
    if (some.length > 1) kinds.append(new Option(label, name));
  }
  // A single point against anything says nothing.
  at("cost-figure").hidden = !kinds.options.length;
  at("chart-parameters").closest("figure").hidden = told.rows.filter(row => row.p).length < 2;
  kinds.hidden = kinds.options.length < 2;
  if (kinds.hidden && kinds.options.length) kinds.after(make("span", `${kinds.options[0].text}, log scale`, "soft small"));
  function redraw() {
    buttons.forEach(button => button.setAttribute("aria-pressed", String(button.textContent === column)));
    const points = visible();
    chartScores(points, column);
    chartScatter(at("chart-parameters"), points.filter(point => point.p).map(point => ({ ...point, x: point.p, y: point.score.v, z: "" })), "network parameters", column, size);
    if (kinds.options.length) {
      const [label, get, ticks] = COSTS[kinds.value];
      chartScatter(at("chart-cost"), points.filter(get).map(point => ({ ...point, x: get(point), y: point.score.v, z: kinds.value === "dollars" ? point.b : "" })), label, column, ticks);
    }
  }
  kinds.addEventListener("change", redraw);
  if (at("chart-steps")) chartSteps(at("chart-steps"), told.curves);
  onFilter = wanted => { if (wanted.split) column = wanted.split; redraw(); };
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); if (at("chart-steps")) chartSteps(at("chart-steps"), told.curves); } });
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
    x: { label: "mean steps", labelAnchor: "center", labelArrow: "none" }, y: { domain: [0, 100], grid: true, label: "percent", labelArrow: "none" },
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

addEventListener("DOMContentLoaded", () => {
  if (board && at("filters")) { sortable(); filterable(); }
  if (at("charts-data")) taskCharts(data("charts-data"));
  if (board && at("filters")) filter();
  if (at("record-data")) recordCharts(data("record-data"));
  if (at("films-data")) viewer(data("films-data"));
  if (at("copy") && navigator.clipboard) {
    at("copy").hidden = false;
    at("copy").addEventListener("click", () => navigator.clipboard.writeText(at("command").textContent).then(() => { at("copy").textContent = "Copied"; }));
  }
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (wanted && at(wanted) && at(wanted).tagName === "TR") goTo(wanted);
});
addEventListener("hashchange", () => { const id = decodeURIComponent(location.hash.slice(1)); if (at(id) && at(id).tagName === "TR") goTo(id); });
