// SPDX-License-Identifier: BSD-3-Clause
// Lets a click on a column's head sort its table. Without it the tables stand as they were written.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row, at) => [row.cells[column].dataset.v, row, at]);
      rows.sort(([a, , i], [b, , j]) => {
        if (a === "" || b === "") return (a === "") - (b === "") || i - j; // what has no value stays last
        const x = Number(a), y = Number(b);
        const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
        return (down ? -order : order) || i - j;
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
