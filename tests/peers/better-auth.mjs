// An OpenID Provider whose clients must follow OAuth 2.1 (npm better-auth), for tests.
//   node better-auth.mjs '{"port": 4000, "api": "http://127.0.0.1:8000", "name": "strict"}'
// It wants PKCE, a client that it knows, and `resource`; without that its access tokens are opaque. What READY says is
// the client. Its pages are ours, because it has none: one to sign in on, and one that asks for consent.
import http from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import { oauthProvider } from '@better-auth/oauth-provider';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';

const { port, api, name } = JSON.parse(process.argv[2]);
const tenant = ({ user }) => ({ tenant_id: user?.name });
const auth = betterAuth({
  baseURL: `http://127.0.0.1:${port}`, secret: 'of thirty-two characters at least', database: new DatabaseSync(':memory:'),
  emailAndPassword: { enabled: true }, telemetry: { enabled: false }, logger: { disabled: true }, rateLimit: { enabled: false },
  plugins: [
    jwt({ jwks: { keyPairConfig: { alg: 'ES256' } } }),
    oauthProvider({
      loginPage: '/login', consentPage: '/consent', resources: ['https://api.test/'], enforcePerClientResources: false,
      customAccessTokenClaims: tenant, customIdTokenClaims: tenant,
    }),
  ],
});
await (await getMigrations(auth.options)).runMigrations();
const { headers: signedUp } = await auth.api.signUpEmail({
  returnHeaders: true, body: { email: 'alice@example.com', password: 'a-password', name: 'acme' },
});
const client = await auth.api.adminCreateOAuthClient({
  headers: new Headers({ cookie: signedUp.getSetCookie().map((cookie) => cookie.split(';')[0]).join('; ') }),
  body: {
    redirect_uris: [`${api}/api/v1/auth/${name}/callback`], post_logout_redirect_uris: [`${api}/api/v1/auth/${name}/logout`],
    application_type: 'native', token_endpoint_auth_method: 'client_secret_basic', enable_end_session: true,
  },
});

const page = (fields, path, body) => `<!doctype html><form>${fields}<button type="submit">on</button></form><script>
document.forms[0].onsubmit = async (event) => {
  event.preventDefault();
  const typed = Object.fromEntries(new FormData(event.target));
  const answer = await fetch('/api/auth${path}', {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...typed, ...${body}, oauth_query: location.search.slice(1) }),
  });
  location = (await answer.json()).url;
};</script>`;
const pages = {
  '/login': page('<input name="email"><input name="password" type="password">', '/sign-in/email', '{}'),
  '/consent': page('', '/oauth2/consent', '{ accept: true }'),
};
const handle = toNodeHandler(auth);
http.createServer((req, res) => {
  const own = pages[req.url.split('?')[0]];
  return own ? res.setHeader('content-type', 'text/html').end(own) : handle(req, res);
}).listen(port, '127.0.0.1', () => console.log(`READY ${JSON.stringify({ id: client.client_id, secret: client.client_secret })}`));
