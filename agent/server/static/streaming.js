// What happens in a job, as it happens. The browser makes a connection that broke again; the server then tells all anew.

export function follow(handle, on) {
  const source = new EventSource(`/api/jobs/${encodeURIComponent(handle)}/events`);
  let isBroken = false;
  const data = (message) => JSON.parse(message.data);
  source.addEventListener("open", () => {
    if (isBroken) on.again();
    isBroken = false;
  });
  source.addEventListener("event", (message) => on.event(data(message)));
  source.addEventListener("step", (message) => on.step(data(message)));
  source.addEventListener("state", (message) => on.state(data(message)));
  source.addEventListener("end", (message) => {
    source.close();
    on.end(data(message));
  });
  source.addEventListener("error", () => {
    isBroken = true;
    if (source.readyState === EventSource.CLOSED) on.lost();
    else on.waiting();
  });
  return () => source.close();
}
