// The chart of cost and accuracy: choose the axis of cost, filter by network; points and rows of tables highlight each other.
function costChart(root) {
  const { axes, rows: all } = JSON.parse(root.dataset.chart);
  const groups = [...new Set(all.filter((row) => !row.untrained).map((row) => row.group))];
  let rows = all;
  const select = root.querySelector(".axis-of select"), budgets = root.querySelector(".budgets select"), networks = root.querySelector("fieldset");
  const drawing = root.querySelector(".drawing"), words = root.querySelector(".point"), statement = root.querySelector(".statement");
  const section = root.closest("section") ?? document;
  const hiddenNetworks = new Set();
  const svg = (name, attributes = {}, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const number = (value) => (value >= 1e6 ? `${(value / 1e6).toPrecision(3)} million` : value >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3))));
  const list = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);
  const title = (row) => row.name + (row.budget ? ` (${row.budget})` : "");
  const accuracy = (row) => `${row.y.toFixed(1)}${row.half === null ? "" : ` \u00b1 ${row.half.toFixed(1)}`}%`;
  const links = (runs) => [...section.querySelectorAll(`a.within[href="#${CSS.escape(runs)}"]`)];
  const describe = (row, axis) => {
    const [cost, half, unsafe] = row.x[axis] ?? [];
    const spread = row.half === null ? "" : row.interval ? ", 95% interval over seeds" : ", sampling error of the test split";
    const paid = cost === undefined ? "trains nothing" : `${number(cost)}${half === null ? "" : ` \u00b1 ${number(half)}`} ${axes[axis].unit}${unsafe ? " (unsafe)" : ""}`;
    return `${title(row)}: ${accuracy(row)}${spread}; n = ${row.n}; ${paid}; ${row.network}`;
  };

  /** The rows of a kind of network that no other of its kind beats in both, by rising cost; untrained ones cost nothing. */
  function front(kind, axis) {
    // A kind without an untrained network of its own has to exceed the others'.
    const owned = rows.some((row) => row.untrained && row.kind === kind);
    const competes = (row) => row.kind === kind && row.competes && row.x[axis] && !row.x[axis][2];
    const rivals = rows.filter((row) => row.y !== null && (competes(row) || (row.untrained && (row.kind === kind || !owned))));
    const cost = (row) => (row.untrained ? 0 : row.x[axis][0]);
    rivals.sort((a, b) => cost(a) - cost(b) || b.y - a.y);
    let best = -Infinity;
    return rivals.filter((row) => row.y > best && ((best = row.y), true)).filter((row) => !row.untrained);
  }
  function ticks(low, high, log) {
    if (log) {
      const made = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) for (const digit of [1, 2, 5]) made.push(digit * 10 ** power);
      return made.filter((tick) => tick >= low && tick <= high);
    }
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((digit) => digit * power).find((each) => each >= rough);
    return Array.from({ length: Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1 }, (_, i) => (Math.ceil(low / step - 1e-9) + i) * step);
  }
  function mark(shape, x, y, colour, hollow) {
    const paint = { fill: hollow ? "#ffffff" : colour, stroke: hollow ? colour : "#ffffff", "stroke-width": hollow ? 2 : 1 };
    if (shape === "s") return svg("rect", { x: x - 5, y: y - 5, width: 10, height: 10, ...paint });
    if (shape === "D") return svg("path", { d: `M${x} ${y - 7}l7 7l-7 7l-7 -7z`, ...paint });
    return svg("circle", { cx: x, cy: y, r: 5.5, ...paint });
  }

  function draw() {
    rows = all.filter((row) => row.group === budgets.value);
    const axis = Number(select.value);
    const shown = rows.filter((row) => row.y !== null && !hiddenNetworks.has(row.network));
    const points = shown.filter((row) => row.x[axis]);
    const width = Math.max(300, drawing.clientWidth - 2), height = Math.round(Math.min(430, Math.max(320, width * 0.55)));
    const left = 44, right = width - 16, top = 30, bottom = height - 44;
    // Limits are those of all rows, so that a filter moves nothing.
    const placed = rows.filter((row) => row.y !== null && row.x[axis]);
    if (!placed.length) {
      drawing.replaceChildren();
      return say(axis, shown, points, {});
    }
    const costs = placed.flatMap((row) => [row.x[axis][0] - (row.x[axis][1] ?? 0), row.x[axis][0] + (row.x[axis][1] ?? 0)]);
    const heights = rows.filter((row) => row.y !== null && (row.x[axis] || row.untrained)).flatMap((row) => [row.y - (row.half ?? 0), row.y + (row.half ?? 0)]);
    const least = Math.min(...placed.map((row) => row.x[axis][0])), most = Math.max(...costs);
    const log = most / least > 12;
    const [x0, x1] = log ? [least / 1.5, most * 1.6] : [0, most * 1.12];
    const margin = Math.max(1, 0.07 * (Math.max(...heights) - Math.min(...heights)));
    const [y0, y1] = [Math.max(0, Math.min(...heights) - margin), Math.min(100, Math.max(...heights) + margin)];
    const toX = (value) => left + ((log ? Math.log(Math.max(value, x0) / x0) / Math.log(x1 / x0) : (value - x0) / (x1 - x0)) * (right - left));
    const toY = (value) => bottom - ((value - y0) / (y1 - y0)) * (bottom - top);
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${axes[axis].name} and linear top-1 of ${points.length} rows` });
    const frame = svg("g", { class: "axis", "aria-hidden": "true" });
    let last = -Infinity;
    for (const tick of ticks(x0, x1, log)) {
      if (toX(tick) - last < 40) continue;
      last = toX(tick);
      frame.append(svg("line", { x1: last, x2: last, y1: top, y2: bottom }), svg("text", { x: last, y: bottom + 16, "text-anchor": "middle" }, number(tick)));
    }
    for (const tick of ticks(y0, y1, false)) frame.append(svg("line", { x1: left, x2: right, y1: toY(tick), y2: toY(tick) }), svg("text", { x: left - 6, y: toY(tick) + 4, "text-anchor": "end" }, number(tick)));
    const label = `${axes[axis].name} (${axes[axis].unit})`;
    frame.append(svg("text", { x: right, y: height - 8, "text-anchor": "end" }, label), svg("text", { x: 8, y: 15 }, "Linear top-1, test (%)"));
    picture.append(frame);
    for (const row of shown.filter((each) => each.untrained)) {
      picture.append(svg("line", { class: "level", x1: left, x2: right, y1: toY(row.y), y2: toY(row.y) }));
    }
    const kinds = [...new Set(rows.map((row) => row.kind))];
    const fronts = Object.fromEntries(kinds.map((kind) => [kind, front(kind, axis)]));
    for (const kind of kinds) {
      if (!fronts[kind].length || !points.some((row) => row.kind === kind)) continue;
      const path = fronts[kind].map((row, i) => `${i ? "H" : `M${toX(row.x[axis][0])} ${bottom}`}${i ? toX(row.x[axis][0]) : ""}V${toY(row.y)}`).join("");
      picture.append(svg("path", { class: `front ${kind}`, d: `${path}H${right}` }));
    }
    const data = svg("g", { class: "data" });
    for (const line of new Set(points.map((row) => row.line))) {
      const rungs = points.filter((row) => row.line === line).sort((a, b) => a.x[axis][0] - b.x[axis][0]);
      if (rungs.length > 1) data.append(svg("polyline", { points: rungs.map((row) => `${toX(row.x[axis][0])},${toY(row.y)}`).join(" "), fill: "none", stroke: rungs[0].colour, "stroke-width": 1.2 }));
    }
    picture.append(data);
    const taken = [];
    const names = svg("g", { "aria-hidden": "true" });
    /** Writes a name beside its point, above its bars; below or on the other side where another one is. */
    const write = (text, x, y, kind = "", shifts = [-11, 13, 0, -24, 26, -37, 39]) => {
      const long = 6.6 * text.length;
      const places = shifts.flatMap((shift) => [x + 10, x - 10 - long].map((start) => ({ x: start, y: y + 4 + shift, width: long })));
      const inside = places.filter((box) => box.x >= left && box.x + long <= right && box.y >= top + 8 && box.y <= bottom - 2);
      const free = (box) => !taken.some((other) => Math.abs(other.y - box.y) < 12 && other.x < box.x + long && box.x < other.x + other.width);
      const box = inside.find(free) ?? inside[0] ?? places[0];
      taken.push(box);
      names.append(svg("text", { class: `name ${kind}`, x: box.x, y: box.y }, text));
    };
    for (const row of points) taken.push({ x: toX(row.x[axis][0]) - 6, y: toY(row.y) + 4, width: 12 });
    // In order of cost, so that the Tab key goes from left to right.
    for (const row of [...points].sort((a, b) => a.x[axis][0] - b.x[axis][0])) {
      const [cost, half, unsafe] = row.x[axis], x = toX(cost), y = toY(row.y);
      const link = svg("a", { href: `#${row.runs}`, "data-runs": row.runs, "aria-label": describe(row, axis) });
      const own = svg("g", { class: "data" });
      if (row.half !== null) own.append(svg("line", { x1: x, x2: x, y1: toY(row.y - row.half), y2: toY(row.y + row.half), stroke: row.colour, "stroke-width": row.interval ? 1.4 : 0.8, opacity: row.interval ? 1 : 0.6 }));
      if (half) own.append(svg("line", { x1: toX(cost - half), x2: toX(cost + half), y1: y, y2: y, stroke: row.colour, "stroke-width": 1.4 }));
      own.append(mark(row.marker, x, y, row.colour, unsafe));
      link.append(own, svg("circle", { class: "ring", cx: x, cy: y, r: 10, "pointer-events": "all" }));
      const light = (on) => {
        words.textContent = on ? describe(row, axis) : "";
        link.classList.toggle("lit", on);
        for (const other of links(row.runs)) other.closest("tr").classList.toggle("lit", on);
      };
      for (const [event, on] of [["pointerenter", true], ["focus", true], ["pointerleave", false], ["blur", false]]) link.addEventListener(event, () => light(on));
      picture.append(link);
      const same = points.filter((other) => other.line === row.line);
      if (same.every((other) => other.x[axis][0] <= cost)) write(row.name, x, y);
    }
    const levels = new Map(shown.filter((each) => each.untrained).map((row) => [row.name, row]));
    for (const row of levels.values()) write(row.name, left - 4, toY(row.y), "untrained", [-9, 10]);
    picture.append(names);
    drawing.replaceChildren(picture);
    say(axis, shown, points, fronts);
  }

  /** What can be said of this axis; a filter hides rows, and never changes what is said of all. */
  function say(axis, shown, points, fronts) {
    const sentences = [];
    const trained = rows.filter((row) => !row.untrained && row.y !== null);
    sentences.push(`${points.length} of ${trained.length} trained rows are shown.`);
    const filtered = rows.filter((row) => row.y !== null && hiddenNetworks.has(row.network));
    if (filtered.length) sentences.push(`Filtered out: ${list(filtered.map(title))}.`);
    const without = trained.filter((row) => !row.x[axis] && !hiddenNetworks.has(row.network));
    if (without.length) sentences.push(`Not on this axis, since their cost on it is not known: ${list(without.map(title))}.`);
    const failed = rows.filter((row) => row.y === null);
    if (failed.length) sentences.push(`Without a result: ${list(failed.map((row) => `${title(row)} (${row.status})`))}.`);
    const rivals = trained.filter((row) => row.competes).sort((a, b) => b.y - a.y);
    const tag = (row) => (hiddenNetworks.has(row.network) ? " (filtered out)" : !row.x[axis] ? " (not on this axis)" : "");
    const best = rivals.filter((row) => row.y === rivals[0].y);
    if (best.length === 1 && rivals.length > 1) sentences.push(`The highest mean of all self-supervised rows is that of ${title(best[0])}, ${accuracy(best[0])}${tag(best[0])}, whether or not the next differs significantly.`);
    for (const [kind, members] of Object.entries(fronts)) if (members.length) sentences.push(`Pareto front, ${kind}: ${list(members.map((row) => title(row) + tag(row)))}.`);
    const seeds = trained.map((row) => row.n), [few, many] = [Math.min(...seeds), Math.max(...seeds)];
    if (seeds.length) sentences.push(`Means are over ${few === many ? few : `${few} to ${many}`} ${many === 1 ? "seed: a direction, no result" : "seeds"}.`);
    const elsewhere = all.filter((row) => row.group !== budgets.value && !row.untrained);
    if (elsewhere.length) sentences.push(`Budgets: ${list(groups.filter((group) => group !== budgets.value).map((group) => `\u201c${group}\u201d`))} has ${elsewhere.length} more rows.`);
    const unsafe = points.filter((row) => row.x[axis][2]);
    if (unsafe.length) sentences.push(`Hollow, on no front, because their times are unsafe: ${list(unsafe.map(title))}.`);
    statement.textContent = sentences.join(" ");
  }

  axes.forEach((axis, place) => select.append(new Option(axis.name, place)));
  select.addEventListener("change", draw);
  groups.forEach((group) => budgets.append(new Option(group, group)));
  budgets.addEventListener("change", draw);
  budgets.parentElement.hidden = groups.length < 2;
  const every = [...new Set(all.filter((row) => row.y !== null).sort((a, b) => a.kind.localeCompare(b.kind)).map((row) => row.network))];
  for (const network of every) {
    const input = document.createElement("input");
    Object.assign(input, { type: "checkbox", checked: true });
    input.addEventListener("change", () => {
      if (input.checked) hiddenNetworks.delete(network); else hiddenNetworks.add(network);
      draw();
    });
    const label = document.createElement("label");
    label.append(input, ` ${network}`);
    networks.append(label);
  }
  networks.hidden = every.length < 2;
  root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  for (const { runs } of all) {
    for (const link of links(runs)) {
      const line = link.closest("tr");
      const light = (on) => {
        line.classList.toggle("lit", on);
        for (const point of root.querySelectorAll(`a[data-runs="${CSS.escape(runs)}"]`)) point.classList.toggle("lit", on);
      };
      for (const [event, on] of [["pointerenter", true], ["focusin", true], ["pointerleave", false], ["focusout", false]]) line.addEventListener(event, () => light(on));
    }
  }
  root.hidden = false;
  let before = drawing.clientWidth;
  new ResizeObserver(() => {
    if (drawing.clientWidth === before) return;
    before = drawing.clientWidth;
    draw();
  }).observe(drawing);
  draw();
}
document.querySelectorAll(".cost-chart").forEach(costChart);
