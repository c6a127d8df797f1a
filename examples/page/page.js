// What a front end does with the API: sign in, who am I, notes, sign out, and errors that a person can act on.
import { API } from "./settings.js";

const HERE = location.origin + location.pathname;
const at = (id) => document.getElementById(id);
let token = null; // in this page's memory alone: what is stored, any script of the page's origin can read later
let hint = null;
let key = null; // of the note that is being written

class Refused extends Error {
  constructor(answer, error) {
    super(error.detail);
    Object.assign(this, error, { status: answer.status, request: answer.headers.get("X-Request-ID"),
      seconds: answer.headers.get("Retry-After") });
  }
}

async function ask(path, { method = "GET", body, key } = {}) {
  const headers = { ...(body && { "Content-Type": "application/json" }), ...(key && { "Idempotency-Key": key }),
    ...(token && { Authorization: `Bearer ${token}` }) };
  // credentials: the cookie that ties the sign-in to this browser.
  const options = { method, headers, credentials: "include", body: body && JSON.stringify(body) };
  const answer = await fetch(API + path, options);
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  throw new Refused(answer, content.error ?? { code: `HTTP ${answer.status}`, message: "Failed", detail: "No reason was given" });
}

// What a person can do about it; the code and the request id are for whoever they ask for help.
function advice(failure) {
  if (!(failure instanceof Refused)) return `The service at ${API} does not answer. Check your connection and try again.`;
  const next = failure.seconds ? `Please try again in ${failure.seconds} seconds.`
    : failure.status === 401 || failure.code === "AUTH_045" ? "Please sign in again."
    : failure.status === 403 ? "Your account may not do this. Ask your administrator."
    : failure.status === 422 ? "Please look at what you wrote: something in it is missing, too long or of another form."
    : "If this keeps happening, tell us the numbers below.";
  return `${failure.message}: ${failure.detail}. ${next}`;
}

function trouble(failure) {
  at("reason").textContent = failure ? advice(failure) : "";
  at("numbers").textContent = failure?.request ? `${failure.code}, request ${failure.request}` : "";
  at("trouble").hidden = !failure;
  if (failure) at("trouble").scrollIntoView({ block: "nearest" }); // whoever wrote a note is at the end of a long page
}

const tried = (action) => async (event) => {
  event?.preventDefault();
  trouble(null);
  try {
    await action(event);
  } catch (failure) {
    if (failure.status === 401) await showSignedOut().catch(() => {});
    trouble(failure);
  }
};

async function showSignedOut() {
  token = hint = key = null;
  at("notes").replaceChildren(); // nothing of a person who left stays for the next one
  at("add").reset();
  at("signed-in").hidden = true;
  at("signed-out").hidden = false;
  const links = (await ask("/api/v1/auth/providers")).map((provider) => {
    const link = document.createElement("a");
    link.id = `sign-in-${provider.name}`;
    link.href = `${provider.login_url}?return_to=${encodeURIComponent(HERE)}`;
    link.textContent = provider.name;
    return link;
  });
  at("providers").replaceChildren(...links);
}

async function showSignedIn() {
  const caller = await ask("/api/v1/auth/validate");
  for (const name of ["subject", "tenant", "provider"]) at(name).textContent = caller[name];
  at("until").textContent = new Date(caller.expires_at).toLocaleTimeString();
  at("signed-out").hidden = true;
  at("signed-in").hidden = false;
}

async function showNotes() {
  const notes = await ask("/api/v1/notes").catch((failure) => {
    if (failure.code !== "REQ_001") throw failure;
  });
  at("add").hidden = !notes;
  if (!notes) {
    at("count").textContent = "This service has no notes yet: docs/API_ARCHITECTURE.md, Take over an example, puts examples/notes in.";
    return;
  }
  at("notes").replaceChildren(...notes.map((note) => {
    const item = document.createElement("li");
    item.textContent = note.body; // as text, never as HTML: a colleague wrote it
    return item;
  }));
  at("count").textContent = notes.length === 1 ? "1 note" : `${notes.length || "No"} notes`;
}

// One key for one note, however often it is sent: without an answer nobody knows whether it was kept, and repeated with the
// same key it is kept once. Another text is another note.
async function add(event) {
  const [field, button] = [at("body"), event.target.querySelector("button")];
  key ??= `"${crypto.randomUUID()}"`;
  button.disabled = true;
  try {
    await ask("/api/v1/notes", { method: "POST", body: { body: field.value }, key });
    key = null;
    field.value = "";
  } finally {
    button.disabled = false;
  }
  await showNotes();
  field.focus();
}

async function begin() {
  const code = new URLSearchParams(location.search).get("login_code");
  if (!code) return showSignedOut();
  history.replaceState(null, "", HERE); // it works once, and has no business in the history
  try {
    ({ access_token: token, id_token: hint } = await ask("/api/v1/auth/token", { method: "POST", body: { login_code: code } }));
  } catch (failure) {
    await showSignedOut();
    throw failure;
  }
  await showSignedIn();
  at("notes-of").focus();
  return showNotes();
}

async function signOut() {
  const path = `/api/v1/auth/${at("provider").textContent}/logout`;
  let next = null;
  try {
    ({ logout_url: next } = await ask(path, { method: "POST", body: { return_to: HERE, id_token_hint: hint } }));
  } finally { // our half ends, whether or not the provider can be reached
    if (!next) await showSignedOut();
  }
  if (next) location.assign(next); // ends the provider's session, and comes back here
}

at("add").addEventListener("submit", tried(add));
at("body").addEventListener("input", () => { key = null; });
at("sign-out").addEventListener("click", tried(signOut));
tried(begin)();
