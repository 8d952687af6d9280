// The interface of this server; /openapi.json describes it.

export class Refused extends Error {
  constructor(status, problem) {
    super([problem.error, problem.mend].filter(Boolean).join(" "));
    this.status = status;
  }
}

let session = null;

async function answered(response) {
  if (response.ok) return response.json();
  let problem;
  try {
    problem = await response.json();
  } catch {
    problem = { error: `The server answered ${response.status}.`, mend: "What it wrote in its terminal says why." };
  }
  throw new Refused(response.status, problem);
}

async function asked(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refused(0, { error: "The server does not answer.", mend: "Start it again: vesalius serve." });
  }
  return answered(response);
}

export function get(path) {
  return asked(path, {});
}

export async function post(path, body) {
  for (const isLast of [false, true]) {
    session ??= await get("/api/session");
    const headers = { "content-type": "application/json", "x-vesalius-csrf": session.csrf };
    try {
      return await asked(path, { method: "POST", headers, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch (error) {
      if (isLast || error.status !== 403) throw error;
      session = null; // the server was started anew since
    }
  }
}

export function runPath(name, ...rest) {
  return ["/api/runs", name, ...rest].map((part, i) => (i ? encodeURIComponent(part) : part)).join("/");
}
