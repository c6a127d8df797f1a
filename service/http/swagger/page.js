"use strict";

// The code in the address is worth nothing a second time, but it has no business in the history either.
const code = new URLSearchParams(location.search).get("login_code");
if (code) history.replaceState(null, "", location.pathname);

const HERE = location.origin + location.pathname;
const at = (id) => document.getElementById(id);
const say = (text) => { at("state").textContent = text; };
let signedIn = null; // { token, hint, provider }, in this page's memory alone

async function ask(path, { body, token } = {}) {
  const headers = { ...(body && { "Content-Type": "application/json" }), ...(token && { Authorization: `Bearer ${token}` }) };
  const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  const content = await answer.json();
  if (answer.ok) return content;
  const { message, detail, code: number } = content.error;
  throw new Error(`${message}: ${detail} (${number}, request ${answer.headers.get("X-Request-ID")})`);
}

const tried = (action) => (...given) => action(...given).catch((failure) => say(failure.message));

const offerSignIn = tried(async () => {
  const links = (await ask("/api/v1/auth/providers")).map((provider) => {
    const link = document.createElement("a");
    const back = `${new URL(provider.login_url).origin}/docs`;
    link.id = `sign-in-${provider.name}`;
    link.href = `${provider.login_url}?return_to=${encodeURIComponent(back)}`;
    link.textContent = `Sign in with ${provider.name}`;
    return link;
  });
  at("sign-in").replaceChildren(...links);
});

const redeem = tried(async (ui) => {
  const { access_token: token, id_token: hint } = await ask("/api/v1/auth/token", { body: { login_code: code } });
  const caller = await ask("/api/v1/auth/validate", { token });
  signedIn = { token, hint, provider: caller.provider };
  ui.preauthorizeApiKey("bearer", token);
  const until = new Date(caller.expires_at).toLocaleTimeString();
  say(`Signed in as ${caller.subject} of ${caller.tenant}, by ${caller.provider}, until ${until}.`);
  at("sign-in").hidden = true;
  at("sign-out").hidden = false;
});

const signOut = tried(async (ui) => {
  const { hint, provider } = signedIn;
  signedIn = null;
  ui.authActions.logout(["bearer"]); // our half ends, whether or not the provider can be reached
  at("sign-out").hidden = true;
  at("sign-in").hidden = false;
  say("Signed out.");
  const { logout_url: next } = await ask(`/api/v1/auth/${provider}/logout`, { body: { return_to: HERE, id_token_hint: hint } });
  if (next) location.assign(next); // ends the provider's session, and comes back here
});

async function begin() {
  const spec = await ask("/openapi.json");
  // The page may call its own origin alone, by whatever name it was opened.
  spec.servers = [{ url: location.origin, description: "This service" }];
  const ui = SwaggerUIBundle({
    spec,
    dom_id: "#ui",
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    validatorUrl: null,
    tryItOutEnabled: true,
    onComplete: () => { if (code) redeem(ui); },
  });
  at("sign-out").addEventListener("click", () => signOut(ui));
}

offerSignIn();
tried(begin)();
