// Elements made by hand: text is only ever put in as text.

export const $ = (id) => document.getElementById(id);

/** An element with attributes, listeners (`onclick`, ...), its text (`text`) and its children. */
export function make(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** What an item is called: its title, or its id where it has none. */
export const called = (item) => item.title ?? item.item;

/** A number as people read it: 1,204 or 0.554 or 12.0 or 1.0e-7. */
export function number(value, digits = 3) {
  if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(1);
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return new Intl.NumberFormat("en", { minimumSignificantDigits: digits, maximumSignificantDigits: digits }).format(value);
}

/** Milliseconds as people read them. */
export const ms = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

/** "a, b and c". */
export function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** A thin bar, a share of its width; the number beside it says the same. */
export function bar(share, kind = "") {
  const inner = make("span");
  inner.style.width = `${Math.round(100 * Math.min(Math.max(share, 0), 1))}%`;
  return make("span", { class: `bar-line ${kind}`, "aria-hidden": "true" }, inner);
}
