// Where the API is. On this machine: under the name by which the page was opened, because a browser takes localhost and
// 127.0.0.1 for two sites, and keeps cookies apart. Deployed: its origin, such as "https://api.example.com".
export const API = `http://${location.hostname}:8000`;
