// The recommendations: each with its score, how it has moved, and why it is there.

import { $, bar, called, make, number } from "./elements.js";
import { newest } from "./service.js";

let before = [];

/** Shows an answer; `chosen` is told of an item that is clicked, `why` gives an explanation as elements. */
export function showSlate(answer, chosen, why) {
  const scores = answer.items.map((item) => item.score);
  const [least, most] = [Math.min(...scores), Math.max(...scores)];
  const share = (score) => (most > least ? 0.12 + (0.88 * (score - least)) / (most - least) : 1);
  $("slate").replaceChildren(
    ...answer.items.map((item, place) => row(item, place, share(item.score), chosen, why)),
  );
  before = answer.items.map((item) => item.item);
}

/** Takes the list away. */
export function hideSlate() {
  before = [];
  $("slate").replaceChildren();
}

function row(item, place, share, chosen, why) {
  const panel = make("div", { class: "why", id: `why-${place}`, hidden: true });
  const opening = make("button", {
    type: "button",
    class: "quiet",
    text: "Why?",
    "aria-expanded": "false",
    "aria-controls": panel.id,
    "aria-label": `Why ${called(item)}?`,
  });
  opening.addEventListener("click", () => toggle(item, opening, panel, why));
  const choose = make(
    "button",
    { type: "button", class: "choose", onclick: () => chosen(item), "aria-label": `Add ${called(item)} to the history` },
    make("span", { class: "name", text: called(item) }),
    item.title === undefined ? "" : make("span", { class: "id", text: item.item }),
  );
  return make(
    "li",
    { class: `result${moved(item, place) === "new" ? " fresh" : ""}` },
    make("span", { class: "place", text: place + 1 }),
    choose,
    movement(item, place),
    opening,
    make(
      "span",
      { class: "score", title: "Bars and scores compare the items of this list alone" },
      bar(share),
      make("span", { class: "value", text: number(item.score) }),
    ),
    panel,
  );
}

function moved(item, place) {
  if (!before.length) return 0;
  const was = before.indexOf(item.item);
  return was < 0 ? "new" : was - place;
}

function movement(item, place) {
  const by = moved(item, place);
  if (by === 0) return make("span", { class: "moved" });
  if (by === "new") return make("span", { class: "moved new", text: "new" });
  const said = `${by > 0 ? "up" : "down"} ${Math.abs(by)}`;
  return make(
    "span",
    { class: `moved ${by > 0 ? "up" : "down"}`, title: said },
    make("span", { "aria-hidden": "true", text: `${by > 0 ? "▲" : "▼"} ${Math.abs(by)}` }),
    make("span", { class: "hidden", text: said }),
  );
}

const asking = newest();

/** Opens one explanation and closes the others. */
async function toggle(item, opening, panel, why) {
  const opened = opening.getAttribute("aria-expanded") === "true";
  for (const other of document.querySelectorAll('#slate [aria-expanded="true"]')) {
    other.setAttribute("aria-expanded", "false");
    document.getElementById(other.getAttribute("aria-controls")).hidden = true;
  }
  if (opened) return;
  opening.setAttribute("aria-expanded", "true");
  panel.hidden = false;
  if (panel.dataset.held) return;
  panel.replaceChildren(make("p", { class: "soft small", text: "Looking…" }));
  try {
    const parts = await why(asking, item);
    if (!parts) return;
    panel.replaceChildren(...parts);
    panel.dataset.held = "yes";
    $("live").textContent = panel.textContent;
  } catch (fault) {
    panel.replaceChildren(make("p", { class: "wrong", text: `${fault.message} ${fault.remedy ?? ""}` }));
  }
}
