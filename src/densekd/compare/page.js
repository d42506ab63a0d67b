"use strict";
// Sort a table by the column whose head was pressed; again: the other way round.
for (const button of document.querySelectorAll("th button.sort")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const column = [...head.parentElement.children].indexOf(head);
    const descending = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const value = (row) => {
      const text = row.children[column].dataset.value ?? row.children[column].textContent.trim();
      return text === "" ? -Infinity : isNaN(text) ? text : Number(text);
    };
    const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
    const rows = [...body.rows].sort((a, b) => (descending ? -1 : 1) * order(value(a), value(b)));
    body.append(...rows);
  });
}
// Switch the prediction that is shown: buttons, or the arrow keys on them.
const tabs = [...document.querySelectorAll("[role=tab]")];
function show(tab) {
  for (const other of tabs) {
    other.setAttribute("aria-selected", String(other === tab));
    other.tabIndex = other === tab ? 0 : -1;
  }
  for (const figure of document.querySelectorAll("[data-model]")) figure.hidden = figure.dataset.model !== tab.dataset.shows;
}
tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => show(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = tabs[(index + step + tabs.length) % tabs.length];
    show(next);
    next.focus();
  });
});
if (tabs.length) show(tabs[0]);
