// What the page says beside the list: who has answered and how fast, what was left out, and what went wrong.

import { $, listed, make, ms } from "./elements.js";

const STAGES = {
  rules: "reading rules",
  scores: "scores",
  filters: "filters",
  boosts: "boosts",
  ranking: "ranking",
  diversity: "diversity",
};

/** Which model has answered and in what time. */
export function tellModel(answer) {
  const stages = Object.entries(answer.milliseconds ?? {}).filter(([, value]) => value >= 0.005);
  const server = stages.reduce((sum, [, value]) => sum + value, 0);
  const model = $("model");
  model.hidden = false;
  model.replaceChildren(
    make("span", { class: "model-name", text: answer.model.name }),
    make("span", { class: "id", text: answer.model.version, title: "Version: the same for the same content" }),
    make("span", { class: "model-speed", text: ms(server), title: "Time in the service, by its own clock" }),
    make("span", { class: "model-way", text: `${ms(answer.roundTrip)} in all`, title: "With the way there and back" }),
  );
  const parts = stages.map(([name, value]) => `${STAGES[name] ?? name} ${value.toFixed(2)}`);
  $("speed").textContent =
    `Answered by ${answer.model.name} in ${ms(server)}, ${ms(answer.roundTrip)} with the way there and back. ` +
    `Of the service’s time, in ms: ${parts.join(", ")}. Bars compare the scores of this list alone.`;
}

/** What has to be said of an answer. */
export function tellAnswer(answer, history) {
  const said = [];
  const unknown = answer.unknown.map((id) => history.named(id));
  if (answer.fallback) {
    said.push("The model knows nothing of this history, so this is what is popular.");
  }
  if (unknown.length) {
    const more = unknown.length > 5 ? [...unknown.slice(0, 5), `${unknown.length - 5} more`] : unknown;
    said.push(`Not known to the model, and left out of the history: ${listed(more)}.`);
  }
  said.push(...(answer.notes ?? []));
  if (!answer.items.length) {
    said.push("Nothing is left to recommend. Show items that were had before, or remove something from the history.");
  }
  $("said").replaceChildren(...said.map((text) => make("p", { class: "said", text })));
}

/** What went wrong, what to do, and a button to try again. */
export function tellFault(fault, again) {
  const box = $("fault");
  box.hidden = false;
  box.replaceChildren(
    make("p", {}, make("strong", { text: fault.message }), ` ${fault.remedy ?? ""}`),
    again ? make("button", { type: "button", text: "Ask again", onclick: again }) : "",
    make("button", { type: "button", class: "quiet", text: "Close", onclick: () => (box.hidden = true) }),
  );
}

/** Nothing is wrong any more. */
export function noFault() {
  $("fault").hidden = true;
  $("fault").replaceChildren();
}

/** For those who hear the page. */
export function say(text) {
  $("live").textContent = text;
}
