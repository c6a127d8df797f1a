"use strict";

// The code in the address is worth nothing a second time, but it has no business in the history either.
const code = new URLSearchParams(location.search).get("login_code");
if (code) history.replaceState(null, "", location.pathname);

const say = (text) => { document.getElementById("state").textContent = text; };

async function offerSignIn() {
  const answer = await fetch("/api/v1/auth/providers");
  for (const provider of await answer.json()) {
    const link = document.createElement("a");
    const back = `${new URL(provider.login_url).origin}/docs`;
    link.id = `sign-in-${provider.name}`;
    link.href = `${provider.login_url}?return_to=${encodeURIComponent(back)}`;
    link.textContent = `Sign in with ${provider.name}`;
    document.getElementById("sign-in").append(link);
  }
}

async function redeem(ui) {
  const answer = await fetch("/api/v1/auth/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ login_code: code }),
  });
  const body = await answer.json();
  if (!answer.ok) return say(`${body.error.message}: ${body.error.detail} (${body.error.code})`);
  ui.preauthorizeApiKey("bearer", body.access_token);
  say("Signed in. The token is kept in this page until it is closed.");
}

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  validatorUrl: null,
  tryItOutEnabled: true,
  onComplete: () => { if (code) redeem(ui); },
});
offerSignIn();
