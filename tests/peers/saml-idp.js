// A SAML identity provider for tests: samlp, Auth0's own library, with a login form around it.
//   node saml-idp.js '{"issuer": "...", "folder": "...", "sps": {...}, "users": {...}}'
// folder holds idp.crt, idp.pem, next.crt, next.pem, sp.crt; POST /__test/set changes settings while it runs.
const fs = require('fs'), crypto = require('crypto'), express = require('express'), session = require('express-session');
const samlp = require('samlp'), Participants = require('samlp/lib/sessionParticipants');
const config = JSON.parse(process.argv[2]);
const PERSISTENT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent';
const REDIRECT = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect';
const read = (name) => fs.readFileSync(`${config.folder}/${name}`);
const spCert = () => read('sp.crt').toString();
const spKey = () => crypto.createPublicKey(spCert()).export({ type: 'spki', format: 'pem' });
const set = { key: 'idp', published: ['idp'], signResponse: true, signAssertion: true, encrypted: false, nameIdFormat: PERSISTENT, lifetime: 600 };
const sessions = new Map();                       // browser session -> services it is signed in at
const of = (req) => sessions.get(req.sessionID) || sessions.set(req.sessionID, []).get(req.sessionID);

function Mapper(user) {                           // a function, not an arrow: samlp sets its prototype
  return {
    getClaims: () => user.attributes,
    getNameIdentifier: () => ({ nameIdentifier: user.id, nameIdentifierFormat: set.nameIdFormat }),
  };
}
Mapper.prototype.metadata = [{ id: 'email', displayName: 'email' }, { id: 'tenant_id', displayName: 'tenant_id' }];

const options = (sp, sessionIndex, user) => ({
  issuer: config.issuer, cert: read(`${set.key}.crt`), key: read(`${set.key}.pem`), profileMapper: Mapper,
  getUserFromRequest: () => user, sessionIndex, recipient: sp.acs, destination: sp.acs, lifetimeInSeconds: set.lifetime,
  signResponse: set.signResponse, signAssertion: set.signAssertion, signingCert: spCert(),
  ...(set.encrypted ? { encryptionCert: spCert(), encryptionPublicKey: spKey() } : {}),
  getPostURL: (audience, dom, req, callback) => callback(null, sp.acs),
});

const app = express();
app.use(session({ secret: 'test', resave: false, saveUninitialized: true }), express.urlencoded({ extended: false }));
app.post('/__test/set', express.json(), (req, res) => res.json(Object.assign(set, req.body)));
app.get('/metadata', (req, res, next) => {
  const base = `http://${req.headers.host}`;
  const written = { end: (xml) => res.end(xml), set: (...a) => res.set(...a), send: (xml) => {
    const key = (name) => `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>${
      read(`${name}.crt`).toString().replace(/-----[A-Z ]+-----|\s/g, '')}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`;
    res.type('application/xml').send(String(xml).replace(/<KeyDescriptor[\s\S]*<\/KeyDescriptor>/, set.published.map(key).join('')));
  } };
  samlp.metadata({ issuer: config.issuer, cert: read('idp.crt'), profileMapper: Mapper, redirectEndpointPath: '/sso',
    postEndpointPath: '/sso', logoutEndpointPaths: { redirect: '/slo', post: '/slo' } })(req, written, next);
});
app.all('/sso', (req, res, next) => {
  if (req.body.username) {
    const user = config.users[req.body.username];
    if (user && user.password === req.body.password) req.session.user = user;
  }
  if (!req.session.user) {
    return res.send(`<form method="post" action="${req.originalUrl.replace(/&/g, '&amp;')}"><input name="username"><input type="password" name="password"></form>`);
  }
  if (req.body.username) return res.redirect(303, req.originalUrl);  // back to the signed GET
  return samlp.parseRequest(req, { signingCert: spCert() }, (err, request) => {
    if (err) return next(err);
    const sp = config.sps[request.issuer];
    if (!sp) return res.status(400).send('unknown service provider');
    const sessionIndex = `_s${req.sessionID.replace(/[^A-Za-z0-9]/g, '')}`;
    of(req).push({ serviceProviderId: request.issuer, nameId: req.session.user.id, sessionIndex, cert: spCert(),
      nameIdFormat: set.nameIdFormat, serviceProviderLogoutURL: sp.sls, binding: REDIRECT });
    return samlp.auth(options(sp, sessionIndex, req.session.user))(req, res, next);
  });
});
// A response that nobody asked for, as a portal's tile makes it.
app.get('/portal/:user', (req, res, next) => samlp.auth(
  { ...options(Object.values(config.sps)[0], '_portal', config.users[req.params.user]), audience: Object.keys(config.sps)[0] })(req, res, next));
app.all('/slo', (req, res, next) => samlp.logout({ deflate: true, issuer: config.issuer, cert: read(`${set.key}.crt`), key: read(`${set.key}.pem`),
  protocolBinding: REDIRECT, sessionParticipants: new Participants(of(req)),
  clearIdPSession: (callback) => { delete req.session.user; callback(); } })(req, res, next));
app.use((err, req, res, next) => res.status(400).send(`refused: ${err.message}`));
const server = app.listen(config.port || 0, '127.0.0.1', () => console.log(`READY http://127.0.0.1:${server.address().port}`));
