// The history that is asked about: built here by clicks, or that of a user as the service knows it.

import { $, called, make } from "./elements.js";

const SHOWN = 12; // the newest; the others on request
const MOST = 1000;

export class History {
  /** `changed` is called after every change: words for those who hear the page, and whether it is another history. */
  constructor(changed) {
    this.steps = [];
    this.user = null;
    this.whole = false;
    this.changed = changed;
    $("clear").addEventListener("click", () => this.clear());
    $("earlier").addEventListener("click", () => {
      this.whole = true;
      this.show();
      $("history-title").focus();
    });
  }

  get empty() {
    return this.steps.length === 0 && this.user === null;
  }

  /** Whose question it is, as the routes of the service take it. */
  get who() {
    if (this.user !== null) return { user: this.user };
    const timed = this.steps.length > 0 && this.steps.every((step) => step.time !== undefined);
    return { history: this.steps.map((step) => (timed ? { item: step.item, time: step.time } : step.item)) };
  }

  /** What an item of the history is called. */
  named(id) {
    return called(this.steps.find((step) => step.item === id) ?? { item: id });
  }

  add(item) {
    const timed = this.steps.length > 0 && this.steps.every((step) => step.time !== undefined);
    const step = { item: item.item, title: item.title, time: timed ? new Date().toISOString() : undefined };
    this.edit([...this.steps, step], `${called(item)} added`);
  }

  remove(place) {
    const gone = this.steps[place];
    this.edit(this.steps.toSpliced(place, 1), `${called(gone)} removed`);
    const buttons = $("steps").querySelectorAll("button");
    const first = this.steps.length - buttons.length;
    (buttons[Math.max(Math.min(place - first, buttons.length - 1), 0)] ?? $("search")).focus();
  }

  clear() {
    this.edit([], "History cleared");
    $("search").focus();
  }

  /** Any change makes it a list of one's own: the service's state is never written to. */
  edit(steps, said) {
    this.copied = steps.length > 0 && (this.copied || this.user !== null);
    this.user = null;
    this.steps = steps;
    this.whole = this.whole && steps.length > 0;
    this.show();
    this.changed(said);
  }

  /** The history of a user, as the service answered it. */
  load(user, answer) {
    this.user = user;
    this.copied = false;
    this.whole = false;
    this.steps = answer.events.toReversed();
    this.show();
    this.changed(`History of the user, ${this.steps.length} events`, true);
  }

  note() {
    if (this.user !== null) {
      const cut = this.steps.length >= MOST ? `, the newest ${MOST} of them shown` : "";
      return `Events of this user, oldest first${cut}. Click an item to go on with a copy.`;
    }
    if (this.copied) return "A copy of a user’s history, changed here. Nothing of it is told to the service.";
    return this.empty ? "Nothing yet." : "Oldest first; the last one counts most in many models.";
  }

  show() {
    const hidden = this.whole ? 0 : Math.max(this.steps.length - SHOWN, 0);
    $("history-title").textContent = this.user === null ? "History" : `User ${this.user}`;
    $("history-count").textContent = this.steps.length || "";
    $("history-note").textContent = this.note();
    $("clear").hidden = this.empty;
    $("earlier").hidden = !hidden;
    $("earlier").textContent = `Show ${hidden.toLocaleString("en")} earlier`;
    $("steps").replaceChildren(
      ...this.steps.slice(hidden).map((step, index) => this.row(step, hidden + index)),
    );
    $("steps").scrollTop = $("steps").scrollHeight;
  }

  row(step, place) {
    const known = step.known !== false;
    const when = step.time === undefined ? undefined : new Date(step.time).toLocaleString("en");
    const rated = step.rating === undefined ? undefined : `rated ${step.rating}`;
    return make(
      "li",
      { class: `step${known ? "" : " unknown"}`, title: known ? when : "The model does not know this item" },
      make("span", { class: "place", text: place + 1 }),
      make("span", { class: "name", text: called(step) }),
      make("span", { class: "id", text: [step.event, rated].filter(Boolean).join(", ") }),
      make("button", {
        type: "button",
        class: "remove",
        "aria-label": `Remove ${called(step)}`,
        text: "×",
        onclick: () => this.remove(place),
      }),
    );
  }
}

/** Most events of a user that are asked for. */
export const mostEvents = MOST;
