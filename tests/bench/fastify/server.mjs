// fastify with @fastify/jwt, its cache of verified tokens, keys from the issuer's set, CORS and the logger.
import cors from "@fastify/cors";
import jwt from "@fastify/jwt";
import fastify from "fastify";
import buildGetJwks from "get-jwks";

const [port] = process.argv.slice(2);
const { BENCH_ISSUER: issuer, BENCH_ORIGIN: origin } = process.env;
const jwks = buildGetJwks({ jwksPath: "/keys" });
const app = fastify({ logger: true });
await app.register(cors, { origin: [origin], credentials: true });
await app.register(jwt, {
  decode: { complete: true },
  secret: (_, { header: { kid, alg } }) => jwks.getPublicKey({ kid, domain: issuer, alg }),
  verify: { allowedIss: issuer, algorithms: ["RS256"], cache: 10000 },
});
const schema = {
  response: {
    200: { type: "object", properties: { subject: { type: "string" }, tenant: { type: "string" } } },
  },
};
app.get("/who", { schema, onRequest: (request) => request.jwtVerify() }, async ({ user }) => ({
  subject: user.sub,
  tenant: user.tenant_id,
}));
await app.listen({ port: Number(port), host: "127.0.0.1" });
