"use strict";
// Sorting and filtering of the tables. Without this the page reads the same, in the order it was written.
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

function filterRows(table, words, count) {
  const wanted = words.toLowerCase();
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
    if (!row.hidden) shown += 1;
  }
  count.textContent = `${shown} of ${table.tBodies[0].rows.length} rows`;
}

for (const block of document.querySelectorAll(".table")) {
  const table = block.querySelector("table");
  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => sortBy(table, button.parentElement));
  }
  const filter = block.querySelector(".filter");
  if (filter === null) continue;
  const input = filter.querySelector("input");
  const count = filter.querySelector("output");
  filter.hidden = false;
  input.addEventListener("input", () => filterRows(table, input.value, count));
  filterRows(table, input.value, count);
}
