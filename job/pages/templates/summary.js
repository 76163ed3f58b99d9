"use strict";
(() => {
  const table = document.querySelector("#jobs table");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({
    row,
    text: row.textContent.toLowerCase(),
    status: row.dataset.status,
  }));
  const form = document.querySelector("#filter");
  const shown = document.querySelector("#shown");
  const order = new Intl.Collator("en", { numeric: true }).compare;

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const data = cell.querySelector(":scope > data");
    return data ? Number(data.value) : cell.textContent.trim();
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : order(String(a), String(b));

  const sort = (header, column) => {
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = rows.map((one) => [valueOf(one.row, column), one.row]);
    // An empty cell is last in either direction.
    keyed.sort(([a], [b]) =>
      a === "" || b === "" ? (a === "") - (b === "") : down ? compare(b, a) : compare(a, b));
    body.append(...keyed.map(([, row]) => row));
  };

  const filter = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const status = form.elements.status.value;
    let count = 0;
    for (const one of rows) {
      const fits = (!status || one.status === status) && words.every((it) => one.text.includes(it));
      one.row.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} jobs`;
  };

  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header, column));
    header.append(button);
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
