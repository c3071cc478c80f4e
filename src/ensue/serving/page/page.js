// The page: a history is built, and every change of it is a question to the service.

import { $, called, make } from "./elements.js";
import { History, mostEvents } from "./history.js";
import { reasons } from "./reasons.js";
import { searching } from "./search.js";
import { ask, asCommand, key, newest } from "./service.js";
import { hideSlate, showSlate } from "./slate.js";
import { noFault, say, tellAnswer, tellFault, tellModel } from "./told.js";

const history = new History(recommend);
const asking = newest();
const askingUser = newest();
let waiting = null; // what to do once there is a key

searching((item) => history.add(item), failed);
for (const id of ["k", "unseen"]) $(id).addEventListener("change", () => recommend());
history.show();
start();

/** The first look: whether the service answers, and what one could begin with. */
async function start() {
  try {
    const answer = await ask("v1/items?limit=8");
    noFault();
    $("starters").replaceChildren(
      ...answer.items.map((item) =>
        make("li", {}, make("button", { type: "button", text: called(item), onclick: () => history.add(item) })),
      ),
    );
  } catch (fault) {
    failed(fault, start);
  }
}

const question = () => ({ ...history.who, k: Number($("k").value), exclude_seen: $("unseen").checked });

/** Asks what comes next, and shows it; a question that has been overtaken shows nothing. */
async function recommend(said = "", another = false) {
  if (another) hideSlate();
  $("empty").hidden = !history.empty;
  if (history.empty) {
    asking.stop();
    hideSlate();
    $("said").replaceChildren();
    $("foot").hidden = true;
    say(said);
    return;
  }
  const body = question();
  $("slate").setAttribute("aria-busy", "true");
  try {
    const answer = await asking("v1/recommend", { ...body, timings: true });
    if (!answer) return;
    noFault();
    showSlate(answer, (item) => history.add(item), (ask, item) => why(ask, item, body));
    tellModel(answer);
    tellAnswer(answer, history);
    $("foot").hidden = false;
    $("request").textContent = asCommand("v1/recommend", body);
    const first = answer.items.length ? `, first ${called(answer.items[0])}` : "";
    say(`${said ? `${said}. ` : ""}${answer.items.length} recommendations${first}`);
  } catch (fault) {
    failed(fault, () => recommend(said));
  }
  $("slate").removeAttribute("aria-busy");
}

async function why(asking, item, body) {
  try {
    const said = await asking("v1/explain", { ...body, item: item.item });
    return said && reasons(said, (id) => history.named(id));
  } catch (fault) {
    if (fault.status === 401) failed(fault, () => recommend());
    throw fault;
  }
}

$("user-form").addEventListener("submit", async function show(event) {
  event?.preventDefault();
  const user = $("user").value;
  try {
    const answer = await askingUser(`v1/users/${encodeURIComponent(user)}?most=${mostEvents}`);
    if (!answer) return;
    noFault();
    history.load(user, answer);
    $("history-title").focus();
  } catch (fault) {
    if (fault.status === 404) fault.remedy = "Look at the id: it is text, exactly as in the log.";
    failed(fault, fault.status === 404 ? null : () => show());
  }
});

/** Says what went wrong; where a key is wanted, asks for it and goes on with `again` afterwards. */
function failed(fault, again) {
  if (fault.status !== 401) return tellFault(fault, again);
  waiting = again;
  const refused = key.get() !== "";
  key.drop();
  $("key-wrong").textContent = refused ? "This key is not good. Look for a letter too many or too few." : "";
  $("key-change").hidden = true;
  $("key-form").hidden = false;
  $("key").focus();
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set($("key").value.trim());
  $("key").value = "";
  $("key-form").hidden = true;
  $("key-change").hidden = false;
  $("search").focus();
  const again = waiting;
  waiting = null;
  if (again !== start) start();
  again?.();
});

$("key-change").hidden = key.get() === "";
$("key-change").addEventListener("click", () => {
  waiting = history.empty ? null : () => recommend();
  $("key-form").hidden = false;
  $("key").focus();
});

$("theme").addEventListener("click", () => {
  const style = document.documentElement.style;
  const dark = style.colorScheme ? style.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  style.colorScheme = dark ? "light" : "dark";
});
