// One filter for all tables: rows with all of its words are shown, and how many are not is always said.
const rows = [...document.querySelectorAll("thead + tbody tr")];
const field = document.querySelector("nav.bar input");
const count = document.querySelector("nav.bar [role=status]");
function filter() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
  say();
}
function say() {
  const hidden = rows.filter((row) => row.hidden).length;
  count.textContent = hidden ? `${rows.length - hidden} of ${rows.length} rows shown; sentences and figures are of all` : "";
}
field.addEventListener("input", filter);
for (const head of document.querySelectorAll("thead th:has(button)")) {
  head.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const now = head.getAttribute("aria-sort");
    const down = head.classList.contains("num") ? now !== "descending" : now === "ascending";
    const sign = down ? -1 : 1;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.sort === undefined ? cell.textContent.trim() : Number(cell.dataset.sort);
    };
    const order = (a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    };
    body.append(...[...body.rows].sort(order));
  });
}
// All runs of an entry are marked when a link leads to the first of them, and come back if the filter hid them.
function mark() {
  const group = location.hash.slice(1);
  for (const row of document.querySelectorAll("tr[data-group]")) {
    row.classList.toggle("marked", row.dataset.group === group);
    if (row.dataset.group === group) row.hidden = false;
  }
  say();
  document.querySelector("tr.marked")?.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", mark);
if (location.hash) mark();
for (const link of document.querySelectorAll("nav.bar a")) {
  link.addEventListener("click", () => link.closest("details").removeAttribute("open"));
}
