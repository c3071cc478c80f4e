// The search for items: a combobox as WAI-ARIA describes it, driven by keys or pointer.

import { $, called, make } from "./elements.js";
import { newest } from "./service.js";

const PAUSE = 120; // milliseconds after the last letter
const SHOWN = 12;

/** Makes the field search, and tells `chosen` of each item that is chosen and `failed` of each fault. */
export function searching(chosen, failed) {
  const field = $("search");
  const list = $("found");
  const asking = newest();
  let items = [];
  let active = -1;
  let timer = 0;

  field.addEventListener("input", () => {
    clearTimeout(timer);
    if (!field.value.trim()) return close();
    timer = setTimeout(look, PAUSE);
  });
  field.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps) {
      event.preventDefault();
      if (list.hidden) look();
      else if (items.length) point((active + steps[event.key] + items.length) % items.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (!list.hidden && items.length) take(items[Math.max(active, 0)]);
      else look();
    } else if (event.key === "Escape") {
      if (list.hidden) field.value = "";
      close();
    }
  });
  field.addEventListener("blur", () => setTimeout(close, 150)); // a click on an item comes after it
  document.addEventListener("keydown", (event) => {
    const writing = event.target instanceof Element && event.target.closest("input, select, textarea");
    if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      field.focus();
    }
  });

  async function look() {
    clearTimeout(timer);
    const wanted = field.value.trim();
    try {
      const answer = await asking(`v1/items?limit=${SHOWN}&query=${encodeURIComponent(wanted)}`);
      if (answer && document.activeElement === field) show(answer.items, wanted);
    } catch (fault) {
      close();
      failed(fault, look);
    }
  }

  function show(found, wanted) {
    items = found;
    list.replaceChildren(
      ...items.map((item, place) =>
        make(
          "li",
          {
            role: "option",
            id: `found-${place}`,
            "aria-selected": "false",
            onmousedown: (event) => event.preventDefault(),
            onclick: () => take(item),
          },
          make("span", { class: "name", text: called(item) }),
          make("span", { class: "id", text: item.title === undefined ? "" : item.item }),
        ),
      ),
    );
    if (!items.length) {
      const said = `Nothing is called “${wanted}”. A part of the title will do.`;
      list.append(make("li", { class: "none", role: "option", "aria-disabled": "true", text: said }));
    }
    list.hidden = false;
    field.setAttribute("aria-expanded", "true");
    point(items.length ? 0 : -1);
  }

  function point(place) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = place;
    const now = items.length ? list.children[active] : undefined;
    if (!now) return field.removeAttribute("aria-activedescendant");
    now.setAttribute("aria-selected", "true");
    now.scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", now.id);
  }

  function take(item) {
    field.value = "";
    close();
    chosen(item);
  }

  function close() {
    clearTimeout(timer);
    asking.stop();
    list.hidden = true;
    items = [];
    active = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }
}
