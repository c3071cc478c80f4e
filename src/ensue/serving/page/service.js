// The only file that talks to the service, and the only one that knows the key.

const KEPT = "ensue-key";

/** An answer that is none: what the service said of it, and what to do. */
export class Fault extends Error {
  constructor(status, code, message, remedy) {
    super(message);
    Object.assign(this, { status, code, remedy });
  }
}

const REMEDIES = {
  401: "Enter a key of this service.",
  403: "Use a key that may read.",
  413: "Send less at once.",
  429: "Wait a moment, then ask again.",
  500: "The log of the service says more.",
  503: "It is busy or cannot reach its histories. Ask again in a moment.",
};

export const key = {
  get: () => sessionStorage.getItem(KEPT) ?? "",
  set: (text) => sessionStorage.setItem(KEPT, text),
  drop: () => sessionStorage.removeItem(KEPT),
};

/** The answer to a request, with `roundTrip` in milliseconds beside what the service said. */
export async function ask(path, body, signal) {
  const began = performance.now();
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  const method = body === undefined ? "GET" : "POST";
  let answer, content;
  try {
    const text = body === undefined ? undefined : JSON.stringify(body);
    answer = await fetch(path, { method, headers, body: text, signal, cache: "no-store", credentials: "omit" });
    content = await answer.json().catch(() => null);
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Fault(0, "unreachable", "The service does not answer.", "Look whether it is running, then ask again.");
  }
  signal?.throwIfAborted();
  if (!answer.ok) {
    const said = content?.error ?? {};
    const message = said.message ?? `The service answered with status ${answer.status}.`;
    throw new Fault(answer.status, said.code ?? "", message, REMEDIES[answer.status] ?? "");
  }
  if (content === null) throw new Fault(answer.status, "", "The answer was cut off.", "Ask again.");
  return { ...content, roundTrip: performance.now() - began };
}

/** Asks in turn, so that a new question ends the one before it; what has been ended gives undefined. */
export function newest() {
  let running = null;
  const asking = async (path, body) => {
    running?.abort();
    const mine = (running = new AbortController());
    try {
      return await ask(path, body, mine.signal);
    } catch (fault) {
      if (mine.signal.aborted) return undefined;
      throw fault;
    }
  };
  asking.stop = () => running?.abort();
  return asking;
}

/** The same request for a command line; the key is not in it. */
export function asCommand(path, body) {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  const withKey = key.get() ? ' \\\n  -H "authorization: Bearer $ENSUE_KEY"' : "";
  const address = new URL(path, document.baseURI).href;
  return `curl -s ${address}${withKey} \\\n  -H 'content-type: application/json' \\\n  -d '${quoted}'`;
}
