// A front end's first calls, with the types that openapi-typescript makes and the client that openapi-fetch is.
import createClient from "openapi-fetch";
import type { paths } from "./schema";

const [baseUrl, token] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl });
const headers = { Authorization: `Bearer ${token}` };

const made = await api.POST("/api/v1/notes", { body: { body: "by TypeScript" }, headers });
if (!made.data) throw new Error(made.error.error.code);
const read = await api.GET("/api/v1/notes/{note_id}", { params: { path: { note_id: made.data.id } }, headers });
const caller = await api.GET("/api/v1/auth/validate", { headers });
const refused = await api.GET("/api/v1/auth/validate");
console.log(JSON.stringify([read.data?.body, caller.data?.tenant, refused.error?.error.code]));
