"use strict";
// Sorting, filtering and comparing. Without this the page reads the same, in the order it was written.
document.documentElement.classList.add("js");

// A missing value is an empty string: it goes last in either direction.
function compare(first, second, numeric, direction) {
  if (first === "" || second === "") return (first === "") - (second === "");
  const order = numeric ? Number(first) - Number(second) : first.localeCompare(second, "en", { numeric: true });
  return direction * order;
}

// What a cell sorts by, where that is not what it shows.
function valueOf(cell) {
  return cell.dataset.value ?? cell.textContent;
}

function sortBy(table, header) {
  const position = header.cellIndex;
  const numeric = header.classList.contains("number");
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const other of header.parentElement.cells) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [valueOf(row.cells[position]), row]);
  rows.sort((first, second) => compare(first[0], second[0], numeric, ascending ? 1 : -1));
  body.append(...rows.map((pair) => pair[1]));
}

for (const table of document.querySelectorAll(".table table")) {
  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => sortBy(table, button.parentElement));
  }
}

// An item is shown if it has the value chosen in every menu, and the words.
function isWanted(item, menus, words) {
  const hasAll = menus.every((menu) => {
    const values = item.getAttribute(`data-${menu.dataset.facet.replaceAll(" ", "-")}`) ?? "";
    return menu.value === "" || values.split("|").includes(menu.value);
  });
  return hasAll && item.textContent.toLowerCase().includes(words.toLowerCase());
}

for (const filter of document.querySelectorAll(".filter")) {
  const block = filter.parentElement;
  const items = [...(block.classList.contains("comparisons") ? block.querySelectorAll(":scope > section") : block.querySelector("table").tBodies[0].rows)];
  const menus = [...filter.querySelectorAll("select")];
  const input = filter.querySelector("input");
  const count = filter.querySelector("output");
  const update = () => {
    for (const item of items) item.hidden = !isWanted(item, menus, input?.value ?? "");
    count.textContent = `${items.filter((item) => !item.hidden).length} of ${items.length}`;
  };
  filter.hidden = false;
  filter.addEventListener("input", update);
  update();
}

// Numbers as in the tables: a minus sign, one decimal for points, two for tau.
function signed(value, digits) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
}

function between(low, high, digits, scale) {
  return low === null ? "no interval: too few architectures" : `95 % interval ${signed(scale * low, digits)} to ${signed(scale * high, digits)}`;
}

// The numbers of a pair, as seen from the algorithm at position `first`.
function pairOf(numbers, count, first, second) {
  const [low, high] = first < second ? [first, second] : [second, first];
  const found = numbers[(low * (2 * count - low - 1)) / 2 + (high - low - 1)];
  if (first < second || found[0] === null) return found;
  const [difference, bottom, top, ...ranking] = found;
  return [-difference, top === null ? null : -top, bottom === null ? null : -bottom, ...ranking];
}

function describeCost([one, other], [cost, rival]) {
  if (cost === null || rival === null || rival === 0) return "not known";
  const ratio = cost / rival;
  return Math.abs(ratio - 1) < 0.005 ? "equal" : `${one} needs ${ratio.toPrecision(3)} times the FLOPs of ${other}`;
}

function describePair(names, pair, costs) {
  const [difference, low, high, tau, ceiling, gapLow, gapHigh] = pair;
  const [one, other] = names;
  const clear = low !== null && (low > 0 || high < 0);
  const better = difference > 0 ? one : other;
  const points = `${Math.abs(100 * difference).toFixed(1)} points`;
  const verdict = clear ? `${better} is better by ${points}` : `cannot tell which is better; ${better} is ahead by ${points}`;
  return {
    accuracy: difference === null ? "not measured" : `${verdict} (${one} − ${other}: ${between(low, high, 1, 100)})`,
    cost: describeCost(names, costs),
    ranking: tau === null ? "cannot be compared" : `Kendall's tau ${tau.toFixed(2)}${ceiling === null ? "" : `, seed noise alone would give ${ceiling.toFixed(2)}`} (gap: ${between(gapLow, gapHigh, 2, 1)})`,
  };
}

// A comparison's address is #ID=FIRST,SECOND.
for (const block of document.querySelectorAll(".compare")) {
  const menus = [...block.querySelectorAll("select")];
  const labels = Array.from(menus[0].options, (option) => option.value);
  const [numbers, costs] = [JSON.parse(block.dataset.numbers), JSON.parse(block.dataset.costs)];
  const update = () => {
    const places = menus.map((menu) => labels.indexOf(menu.value));
    const names = menus.map((menu) => menu.value);
    const same = places[0] === places[1];
    const said = same ? {} : describePair(names, pairOf(numbers, labels.length, ...places), places.map((place) => costs[place]));
    for (const shown of block.querySelectorAll("[data-shows]")) shown.textContent = same ? "choose two different algorithms" : said[shown.dataset.shows];
    block.querySelector(".here").href = `#${block.id}=${names.join(",")}`;
  };
  const follow = () => {
    const [id, names] = decodeURIComponent(location.hash.slice(1)).split("=");
    if (id !== block.id) return;
    (names ?? "").split(",").forEach((name, place) => { if (labels.includes(name)) menus[place].value = name; });
    block.open = true;
    block.scrollIntoView();
    update();
  };
  block.hidden = false;
  block.addEventListener("input", update);
  window.addEventListener("hashchange", follow);
  update();
  follow();
}
