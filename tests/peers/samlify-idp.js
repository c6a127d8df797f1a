// A SAML identity provider for tests: samlify, with a login form around it.
//   node samlify-idp.js '{"issuer": "...", "folder": "...", "port": 4000, "users": {...}}'
// folder holds idp.crt and idp.pem. What it knows of the service is
// that service's own metadata, which an administrator gives it: POST /__test/sp.
const fs = require('fs'), express = require('express'), samlify = require('samlify');
const config = JSON.parse(process.argv[2]);
const base = `http://127.0.0.1:${config.port}`;
const BINDING = 'urn:oasis:names:tc:SAML:2.0:bindings';
const PERSISTENT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent';
// Its own template has none, and a sign-in without one is none (saml-profiles, section 4.1.4.2).
const STATEMENT = '<saml:AuthnStatement AuthnInstant="{IssueInstant}" SessionIndex="{SessionIndex}"><saml:AuthnContext>'
  + '<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>';
samlify.setSchemaValidator({ validate: async () => 'not checked' });

const attribute = (name) => ({ name, valueTag: name, nameFormat: 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic', valueXsiType: 'xs:string' });
const idp = samlify.IdentityProvider({
  entityID: config.issuer, signingCert: fs.readFileSync(`${config.folder}/idp.crt`), privateKey: fs.readFileSync(`${config.folder}/idp.pem`),
  wantAuthnRequestsSigned: true, wantLogoutRequestSigned: true, nameIDFormat: [PERSISTENT],
  messageSigningOrder: 'encrypt-then-sign', requestSignatureAlgorithm: 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
  singleSignOnService: [{ Binding: `${BINDING}:HTTP-Redirect`, Location: `${base}/sso` }],
  singleLogoutService: [{ Binding: `${BINDING}:HTTP-Redirect`, Location: `${base}/slo` }],
  loginResponseTemplate: {
    context: samlify.SamlLib.defaultLoginResponseTemplate.context.replace('{AuthnStatement}', STATEMENT), attributes: ['email', 'tenant_id'].map(attribute),
  },
});
const app = express();
app.use(express.urlencoded({ extended: false }));
const text = (value) => String(value).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const received = (req) => ({ query: req.query, body: req.body, octetString: req.originalUrl.split('?')[1].split('&').filter((p) => !p.startsWith('Signature=')).join('&') });
let sp;
app.post('/__test/sp', express.text({ type: () => true }), (req, res) => { sp = samlify.ServiceProvider({ metadata: req.body, wantLogoutResponseSigned: true }); res.end(); });
app.get('/metadata', (req, res) => res.type('application/xml').send(idp.getMetadata()));
app.all('/sso', async (req, res, next) => {
  try {
    const { extract } = await idp.parseLoginRequest(sp, 'redirect', received(req));
    const user = config.users[req.body.username];
    if (!user || user.password !== req.body.password) {
      return res.send('<!doctype html><form method="post"><input name="username"><input name="password" type="password"></form>');
    }
    const now = Date.now(), at = (ms) => new Date(now + ms).toISOString(), id = () => `_${crypto.randomUUID()}`;
    const acs = sp.entityMeta.getAssertionConsumerService('post'), response = id();
    const { context } = await idp.createLoginResponse(sp, { extract }, 'post', user, { customTagReplacement: (template) => ({
      id: response,
      context: samlify.SamlLib.replaceTagsByValue(template, {
        ID: response, AssertionID: id(), IssueInstant: at(0), Destination: acs, SubjectRecipient: acs, InResponseTo: extract.request.id,
        Issuer: config.issuer, StatusCode: 'urn:oasis:names:tc:SAML:2.0:status:Success', Audience: sp.entityMeta.getEntityID(),
        NameIDFormat: PERSISTENT, NameID: user.id, SessionIndex: id(), ConditionsNotBefore: at(0), ConditionsNotOnOrAfter: at(300000),
        SubjectConfirmationDataNotOnOrAfter: at(300000), attrEmail: user.attributes.email, attrTenantId: user.attributes.tenant_id,
      }),
    }) });
    return res.send(`<!doctype html><form method="post" action="${text(acs)}"><input type="hidden" name="SAMLResponse" value="${context}">`
      + `<input type="hidden" name="RelayState" value="${text(req.query.RelayState)}"></form><script>document.forms[0].submit()</script>`);
  } catch (error) { return next(error); }
});
app.get('/slo', async (req, res, next) => {
  try {
    const { extract } = await idp.parseLogoutRequest(sp, 'redirect', received(req));
    return res.redirect(idp.createLogoutResponse(sp, { extract }, 'redirect', req.query.RelayState).context);
  } catch (error) { return next(error); }
});
app.use((error, req, res, next) => res.status(400).send(`refused: ${error.message || error}`));
app.listen(config.port, '127.0.0.1', () => console.log(`READY ${base}`));
