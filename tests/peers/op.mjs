// A certified OpenID Provider (npm oidc-provider) for tests.   node op.mjs '{"port": 4000, "api": "http://127.0.0.1:8000"}'
// Any password is right; alice is of tenant acme, bob of globex. POST /__test/rotate[?mode=overlap] makes new keys.
import http from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { Provider, errors } from 'oidc-provider';

const { port, api, name = 'op' } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const API = 'urn:test:api'; // resource indicator -> JWT access tokens
const TENANTS = { alice: 'acme', bob: 'globex' };

const jwk = (alg) => ({
  ...(alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 }))
    .privateKey.export({ format: 'jwk' }), alg, use: 'sig',
});
let keys = [jwk('RS256'), jwk('ES256')];

// With the built-in store every new Provider() would begin empty, and a rotation would log everybody out.
const store = new Map();
const find = (model, f) => [...store].find(([k, v]) => k.startsWith(`${model}:`) && f(v))?.[1];
class Adapter {
  constructor(model) { this.model = model; }
  k(id) { return `${this.model}:${id}`; }
  async upsert(id, payload) { store.set(this.k(id), payload); }
  async find(id) { return store.get(this.k(id)); }
  async findByUid(uid) { return find(this.model, (v) => v.uid === uid); }
  async findByUserCode(code) { return find(this.model, (v) => v.userCode === code); }
  async consume(id) { const v = store.get(this.k(id)); if (v) v.consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { store.delete(this.k(id)); }
  async revokeByGrantId(g) { for (const [k, v] of store) if (v.grantId === g) store.delete(k); }
}

const uris = {
  redirect_uris: [`${api}/api/v1/auth/${name}/callback`],
  post_logout_redirect_uris: [`${api}/api/v1/auth/${name}/logout`],
  response_types: ['code'], grant_types: ['authorization_code', 'refresh_token'],
};
const secret = 'app-secret-app-secret-app-secret';
const clients = [
  { ...uris, client_id: 'basic', client_secret: secret },
  { ...uris, client_id: 'post', client_secret: secret, token_endpoint_auth_method: 'client_secret_post' },
  { ...uris, client_id: 'public', token_endpoint_auth_method: 'none' },
  { ...uris, client_id: 'es256', token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'ES256' },
];

const build = () => new Provider(issuer, {
  clients, adapter: Adapter, jwks: { keys }, cookies: { keys: ['test-cookie-key'] }, pkce: { required: () => true },
  conformIdTokenClaims: false, // put scope claims (tenant_id, email) into the ID token too
  claims: { openid: ['sub', 'tenant_id'], email: ['email', 'email_verified'] },
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true, defaultResource: () => API, useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource, client) => {
        if (!resource.startsWith('urn:test:')) throw new errors.InvalidTarget();
        return {
          scope: 'api:read', audience: resource, accessTokenTTL: 300, accessTokenFormat: 'jwt',
          jwt: { sign: { alg: client.clientId === 'es256' ? 'ES256' : 'RS256' } },
        };
      },
    },
  },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, tenant_id: TENANTS[id] ?? 'unknown', email: `${id}@example.com`, email_verified: true }),
  }),
  extraTokenClaims: (ctx, token) => (token.accountId ? { tenant_id: TENANTS[token.accountId] ?? 'unknown' } : undefined),
}).callback();

let handler = build();
http.createServer((req, res) => {
  if (req.method !== 'POST' || !req.url.startsWith('/__test/rotate')) return handler(req, res);
  const fresh = [jwk('RS256'), jwk('ES256')];
  keys = new URL(req.url, issuer).searchParams.get('mode') === 'overlap' ? [...fresh, ...keys] : fresh;
  handler = build();
  return res.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: keys.length }));
}).listen(port, '127.0.0.1', () => console.log(`READY ${issuer}`));
