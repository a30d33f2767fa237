// What an operator does: pause, resume, close a breaker, drain. The token is kept in this page only.
import { byId, setText } from "./parts.js";

let handler = null;   // the one that is shown

const tokens = [byId("token"), byId("actor-token")];
for (const field of tokens) {
  field.addEventListener("input", () => { for (const other of tokens) other.value = field.value; });
}

async function sure(question) {
  const dialog = byId("sure");
  setText(byId("sure-text"), question);
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  return dialog.returnValue === "yes";
}

async function act(name, of) {
  const query = new URLSearchParams(of ? { process: of.process, path: of.path } : {});
  setText(byId("said"), "asking");
  try {
    // A header of its own, never a cookie: no other page can have the browser send it.
    const response = await fetch(`actions/${name}?${query}`, {
      method: "POST", cache: "no-store", headers: { authorization: `Bearer ${byId("token").value}` },
    });
    setText(byId("said"), (await response.text()).trim());
  } catch (error) {
    setText(byId("said"), "no answer");
  }
}

export function showActions(isAllowed, shown) {
  handler = shown;
  byId("operator").hidden = !isAllowed;
  byId("actor-acts").hidden = !isAllowed || !handler;
  if (!handler) return;
  setText(byId("pause"), handler.paused ? "Resume" : "Pause");
  byId("close-breaker").hidden = handler.breaker === "closed";
}

byId("pause").addEventListener("click", () => act(handler.paused ? "resume" : "pause", handler));
byId("close-breaker").addEventListener("click", () => act("close-breaker", handler));
byId("token-form").addEventListener("submit", (event) => event.preventDefault());
byId("drain").addEventListener("click", async () => {
  if (await sure("Drain the worker? It handles what waits, and ends.")) await act("drain");
});
