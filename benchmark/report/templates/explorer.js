// The explorer: images, masks, similar cells, predictions and nearest neighbours of every encoder, at a point of training.
const TARGET_COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442"];
const NOTHING = -128; // in place of a cosine where nothing is predicted

/** The colour of a cosine: blue below 0, white at 0, red above. */
function heat(cosine) {
  const end = cosine < 0 ? [33, 102, 172] : [178, 24, 43];
  const share = Math.min(1, Math.abs(cosine));
  return `rgb(${end.map((value) => Math.round(247 + (value - 247) * share)).join(", ")})`;
}

async function explore(root) {
  const data = JSON.parse(root.dataset.explorer);
  const packed = Uint8Array.from(atob(data.numbers), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const signed = new Int8Array(bytes.buffer);
  const [plain, thumbnails] = await Promise.all([data.plain, data.thumbnails].map(async (sprite) => {
    const image = new Image();
    image.src = sprite.address;
    await image.decode();
    return { ...sprite, image };
  }));
  const $ = (selector) => root.querySelector(selector);
  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const canvas = (side, label) => {
    const made = make("canvas", { width: side, height: side });
    if (label) { made.setAttribute("role", "img"); made.setAttribute("aria-label", label); }
    return made;
  };
  const draw = (context, sprite, number, side) => {
    const x = (number % sprite.columns) * sprite.side, y = Math.floor(number / sprite.columns) * sprite.side;
    context.imageSmoothingEnabled = sprite.side > side;
    context.drawImage(sprite.image, x, y, sprite.side, sprite.side, 0, 0, side, side);
  };

  const percents = [...new Set(data.methods.flatMap((method) => method.percents))].sort((a, b) => a - b);
  const finest = [0, 1].map((axis) => Math.max(...data.methods.flatMap((m) => [m.grid[axis], m.masks ? m.masks.grid[axis] : 0])));
  const masked = data.methods.filter((method) => method.masks);
  const state = { image: 0, percent: percents.at(-1), row: Math.floor(finest[0] / 2), column: Math.floor(finest[1] / 2), kept: false, masks: masked[0], draw: 0, share: 0, blocks: 0 };

  /** The cell of a grid at the chosen place, which is one of the finest grid. */
  const cellOf = ([h, w]) => {
    const row = Math.floor(((state.row + 0.5) * h) / finest[0]), column = Math.floor(((state.column + 0.5) * w) / finest[1]);
    return row * w + column;
  };
  /** The newest point of a method that is not after the chosen one. */
  const pointOf = (method) => method.points[Math.max(0, method.percents.findLastIndex((percent) => percent <= state.percent))];
  const similarity = (method, image, first, second) => {
    const cells = method.grid[0] * method.grid[1];
    if (first === second) return 1;
    const [a, b] = first < second ? [first, second] : [second, first];
    const place = a * cells - (a * (a + 1)) / 2 + (b - a - 1);
    return signed[pointOf(method).similarity[0] + image * ((cells * (cells - 1)) / 2) + place] / 127;
  };
  const predicted = (method, image, cell) => {
    const value = signed[pointOf(method).predicted[0] + image * method.masks.grid[0] * method.masks.grid[1] + cell];
    return value === NOTHING ? null : value / 127;
  };
  const maskOf = () => {
    const { grid, own, drawn, blocks, draws } = state.masks.masks;
    const cells = grid[0] * grid[1];
    const start = state.draw === 0 ? own[0] + state.image * cells : drawn[0] + ((state.share * blocks.length + state.blocks) * draws + state.draw - 1) * cells;
    return bytes.subarray(start, start + cells);
  };

  function grid(context, side, [h, w], paint) {
    const edge = (place, cells) => Math.round((place * side) / cells);
    for (let cell = 0; cell < h * w; cell++) {
      const row = Math.floor(cell / w), column = cell % w;
      const x = edge(column, w), y = edge(row, h);
      paint(cell, x, y, edge(column + 1, w) - x, edge(row + 1, h) - y);
    }
  }
  function outline(context, side, cells) {
    const chosen = cellOf(cells);
    grid(context, side, cells, (cell, x, y, width, height) => {
      if (cell !== chosen) return;
      for (const [colour, inset] of [["#ffffff", 3], ["#000000", 1]]) {
        context.strokeStyle = colour;
        context.lineWidth = 2;
        context.strokeRect(x + inset, y + inset, width - 2 * inset, height - 2 * inset);
      }
    });
  }
  function hatch(context, x, y, width, height) {
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    context.fillStyle = "#e3e6ea";
    context.fillRect(x, y, width, height);
    context.strokeStyle = "#aab2bc";
    context.lineWidth = 2;
    for (let place = -height; place < width; place += 12) {
      context.beginPath();
      context.moveTo(x + place, y + height);
      context.lineTo(x + place + height, y);
      context.stroke();
    }
    context.restore();
  }

  function drawScene() {
    const picture = $(".picture"), context = picture.getContext("2d"), side = picture.width;
    draw(context, plain, state.image, side);
    let words = "These methods hide nothing: the encoder sees all of the image.", cells = finest;
    if (state.masks) {
      const bits = maskOf(), [h, w] = (cells = state.masks.masks.grid);
      const count = (test) => bits.reduce((sum, value) => sum + (test(value) ? 1 : 0), 0);
      const visible = count((value) => value & 1), hidden = count((value) => value > 1);
      const union = bits.reduce((all, value) => all | value, 0) >> 1;
      const blocks = union.toString(2).replaceAll("0", "").length * (union > 0);
      words = visible + hidden === 0
        ? `${state.masks.name}: no such mask can be drawn on ${h} x ${w} cells: every block needs a cell, and some cells have to stay visible.`
        : `${state.masks.name}, ${h} x ${w} cells: ${visible} visible, ${hidden} to predict (${Math.round((100 * hidden) / (h * w))}%) in ${blocks} block${blocks === 1 ? "" : "s"}.` +
          (visible + hidden < h * w ? ` The other ${h * w - visible - hidden} are neither.` : "");
      if (visible + hidden > 0) {
        grid(context, side, cells, (cell, x, y, width, height) => {
          if (bits[cell] & 1) return;
          context.fillStyle = "rgba(191, 191, 191, 0.88)";
          context.fillRect(x, y, width, height);
          TARGET_COLOURS.forEach((colour, block) => {
            if (!(bits[cell] & (2 << block))) return;
            context.fillStyle = colour + "66";
            context.fillRect(x, y, width, height);
          });
        });
      }
    }
    outline(context, side, cells);
    $(".mask-text").textContent = words;
    picture.setAttribute("aria-label", `Image ${state.image + 1}. ${words}`);
  }

  const text = (cosine) => cosine.toFixed(2).replace("-", "\u2212");
  const cards = data.methods.map((method) => {
    const near = canvas(240, " "), hit = method.points[0].predicted ? canvas(240, " ") : null;
    const captions = [make("figcaption"), make("figcaption")];
    const list = make("ul", { className: "near" });
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = method.colour;
    const maps = make("div", { className: "maps" }, make("figure", {}, near, captions[0]));
    if (hit) maps.append(make("figure", {}, hit, captions[1]));
    const name = make("a", { href: `#${method.runs}`, textContent: method.name });
    const card = make("section", { className: "card" }, make("h5", {}, swatch, name), make("p", { textContent: `${method.network}, seed ${method.seed}` }), maps, make("p", { textContent: "Nearest among the first training images (green, \u2713: same class)" }), list);
    card.setAttribute("aria-label", method.name);
    $(".cards").append(card);
    return { method, near, hit, captions, list };
  });

  function drawCard({ method, near, hit, captions, list }) {
    const point = pointOf(method), cells = method.grid[0] * method.grid[1], own = cellOf(method.grid);
    let context = near.getContext("2d");
    const others = [];
    grid(context, near.width, method.grid, (cell, x, y, width, height) => {
      const value = similarity(method, state.image, own, cell);
      if (cell !== own) others.push(value);
      context.fillStyle = heat(value);
      context.fillRect(x, y, width, height);
    });
    outline(context, near.width, method.grid);
    const mean = others.reduce((sum, value) => sum + value, 0) / Math.max(1, others.length);
    captions[0].textContent = cells > 1 ? `Similarity to the cell: mean ${text(mean)}, ${text(Math.min(...others))} to ${text(Math.max(...others))}` : "A single cell";
    near.setAttribute("aria-label", `${method.name}. ${captions[0].textContent}`);
    if (hit) {
      context = hit.getContext("2d");
      const all = [];
      grid(context, hit.width, method.masks.grid, (cell, x, y, width, height) => {
        const value = predicted(method, state.image, cell);
        if (value === null) return hatch(context, x, y, width, height);
        all.push(value);
        context.fillStyle = heat(value);
        context.fillRect(x, y, width, height);
      });
      outline(context, hit.width, method.masks.grid);
      const here = predicted(method, state.image, cellOf(method.masks.grid));
      const average = all.reduce((sum, value) => sum + value, 0) / all.length;
      captions[1].textContent = `Prediction and target, this run\u2019s mask: ${here === null ? "none in this cell" : `${text(here)} here`}, mean ${text(average)}`;
      hit.setAttribute("aria-label", `${method.name}. ${captions[1].textContent}`);
    }
    list.replaceChildren();
    for (let k = 0; k < point.nearest; k++) {
      const place = state.image * point.nearest + k;
      const number = bytes[point.neighbours[0] + 2 * place] + 256 * bytes[point.neighbours[0] + 2 * place + 1];
      const same = bytes[point.same[0] + place] === 1, cosine = text(signed[point.cosines[0] + place] / 127);
      const picture = canvas(96, `${k + 1}. neighbour, training image ${number + 1}, cosine ${cosine}, ${same ? "same" : "another"} class`);
      draw(picture.getContext("2d"), thumbnails, data.places.indexOf(number), 96);
      list.append(make("li", { className: same ? "same" : "" }, picture, same ? `${cosine} \u2713` : cosine));
    }
  }

  function drawAll() {
    const label = (name, value) => {
      $(`.${name} output`).textContent = value;
      $(`.${name} input`).setAttribute("aria-valuetext", value);
    };
    label("progress", `${state.percent}%${state.percent === 0 ? ", untrained" : ""}`);
    label("row", `${state.row + 1} of ${finest[0]}`);
    label("column", `${state.column + 1} of ${finest[1]}`);
    $(".row input").value = state.row + 1;
    $(".column input").value = state.column + 1;
    const { shares, blocks } = state.masks?.masks ?? { shares: [], blocks: [] };
    label("share", state.draw ? `${Math.round(100 * shares[state.share])}%` : "as in the run");
    label("blocks", state.draw ? (blocks[state.blocks] || "single cells") : "as in the run");
    drawScene();
    cards.forEach(drawCard);
  }
  /** Says in words what changed, for those who do not see the maps. */
  function say() {
    const parts = cards.filter((card) => card.hit).map((card) => `${card.method.name}: ${card.captions[1].textContent.toLowerCase()}`);
    $(".status").textContent = `Image ${state.image + 1}, ${state.percent}% of the budget, cell in row ${state.row + 1}, column ${state.column + 1} of ${finest[0]} x ${finest[1]}${state.kept ? " (kept)" : ""}. ${parts.join(". ")}`;
  }
  const update = (changes) => { Object.assign(state, changes); drawAll(); say(); };

  // The controls.
  for (let number = 0; number < data.images; number++) {
    const input = make("input", { type: "radio", name: `image-${[...document.querySelectorAll(".explorer")].indexOf(root)}`, checked: number === 0 });
    input.setAttribute("aria-label", `Image ${number + 1}`);
    input.addEventListener("change", () => update({ image: number }));
    const small = canvas(88);
    small.setAttribute("aria-hidden", "true");
    draw(small.getContext("2d"), plain, number, 88);
    $(".choices").append(make("label", {}, input, small));
  }
  const slider = (name, max, value, changed) => {
    const input = $(`.${name} input`);
    Object.assign(input, { max, value });
    input.addEventListener("input", () => changed(Number(input.value)));
    return input;
  };
  slider("progress", percents.length - 1, percents.length - 1, (place) => update({ percent: percents[place] }));
  slider("row", finest[0], state.row + 1, (row) => update({ row: row - 1, kept: true }));
  slider("column", finest[1], state.column + 1, (column) => update({ column: column - 1, kept: true }));
  const redraw = (changes) => {
    const first = state.draw || 1;
    $(".draw select").value = first;
    update({ draw: first, ...changes });
  };
  const share = slider("share", 0, 0, (place) => redraw({ share: place })), blocks = slider("blocks", 0, 0, (place) => redraw({ blocks: place }));
  const choice = $(".method select"), drawing = $(".draw select");
  function chooseMasks(number) {
    const method = masked[number];
    const { shares, blocks: counts, draws } = method.masks;
    drawing.replaceChildren(make("option", { value: 0, textContent: "as in this run, of this image" }), ...Array.from({ length: draws }, (_, k) => make("option", { value: k + 1, textContent: `drawn again, ${k + 1} of ${draws}` })));
    share.max = Math.max(0, shares.length - 1);
    blocks.max = Math.max(0, counts.length - 1);
    share.disabled = shares.length < 2;
    blocks.disabled = counts.length < 2;
    const middle = { share: Math.floor((shares.length - 1) / 2), blocks: Math.min(1, counts.length - 1) };
    share.value = middle.share;
    blocks.value = middle.blocks;
    update({ masks: method, draw: 0, ...middle });
  }
  choice.append(...masked.map((method, number) => make("option", { value: number, textContent: method.name })));
  choice.addEventListener("change", () => chooseMasks(Number(choice.value)));
  drawing.addEventListener("change", () => update({ draw: Number(drawing.value) }));
  root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["method", "draw", "share", "blocks"]) $(`.${name}`).hidden = masked.length === 0;

  const at = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const place = (offset, extent, cells) => Math.min(cells - 1, Math.max(0, Math.floor((offset / extent) * cells)));
    return { row: place(event.clientY - box.top, box.height, finest[0]), column: place(event.clientX - box.left, box.width, finest[1]) };
  };
  const picture = $(".picture");
  picture.width = picture.height = 512;
  for (const target of [picture, ...cards.flatMap((card) => [card.near, card.hit]).filter(Boolean)]) {
    target.addEventListener("pointermove", (event) => {
      if (state.kept) return;
      Object.assign(state, at(event));
      drawAll();
    });
    target.addEventListener("click", (event) => {
      const place = at(event);
      update({ ...place, kept: !(state.kept && place.row === state.row && place.column === state.column) });
    });
  }
  root.addEventListener("keydown", (event) => { if (event.key === "Escape") update({ kept: false }); });
  root.hidden = false;
  if (masked.length) chooseMasks(0); else update({});
}
for (const root of document.querySelectorAll(".explorer")) explore(root);
