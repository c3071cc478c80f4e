// Why an item is in the list: which events of the history drove its score, and what would be there without them.

import { bar, called, listed, make, number } from "./elements.js";

const METHODS = {
  "exact parts": "Exact: this model’s score is a sum, and these are its parts.",
  "leaving one event out": "Measured: how much the score falls when the event is left out. These do not add up.",
  fallback: "There is nothing in the history that the model knows, so it is here because it is popular.",
  "popular items": "This model ranks by popularity, whatever the history.",
};

/** The explanation of one item, as elements; `named` knows what items of the history are called. */
export function reasons(said, named) {
  const parts = said.reasons.map((reason) => ({
    name: called(reason),
    note: `event ${reason.event + 1}; without it place ${reason.place_without.toLocaleString("en")}`,
    part: reason.part,
  }));
  const largest = Math.max(...parts.map((one) => Math.abs(one.part)), Math.abs(said.others), Math.abs(said.base));
  const counts = (part) => Math.abs(part) > 0.001 * largest; // null, where parts do not add up, is 0
  if (counts(said.others)) parts.push({ name: "All other events", note: "", part: said.others, soft: true });
  if (counts(said.base)) parts.push({ name: "Whatever the history", note: "popularity", part: said.base, soft: true });
  const made = [];
  if (!said.reasons.length && !["fallback", "popular items"].includes(said.method)) {
    made.push(make("p", { text: "No single event of the history raised its score." }));
  }
  if (parts.length) {
    made.push(make("ul", { class: "parts" }, ...parts.map((one) => part(one, largest))));
  }
  const without = inPlace(said, named);
  if (without) made.push(make("p", { class: "without", text: without }));
  const told = [METHODS[said.method] ?? said.method, ...said.notes.map(sentence)];
  made.push(make("p", { class: "soft small", text: told.join(" ") }));
  return made;
}

function part(one, largest) {
  const sign = one.part > 0 ? "+" : "";
  return make(
    "li",
    { class: one.soft ? "part soft" : "part" },
    make("span", { class: "name", text: one.name }),
    make("span", { class: "value", text: sign + number(one.part) }),
    bar(Math.abs(one.part) / largest, one.part < 0 ? "down" : ""),
    make("span", { class: "soft small note-line", text: one.note }),
  );
}

function inPlace(said, named) {
  if (!said.without) return "";
  const { items, instead, title, place } = said.without;
  const gone = listed(items.map(named));
  const would = instead === null ? "the list would end one earlier" : `it would be ${title ?? instead}`;
  return `Without ${gone} ${would}, and this item would stand at place ${place.toLocaleString("en")}.`;
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
