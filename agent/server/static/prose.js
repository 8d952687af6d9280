// Sentences of a report, each figure a button that leads to its measurement.
import { el } from "./dom.js";

// Names and prompts stand between backticks.
export const inline = (text) => text.split(/`([^`]*)`/).map((part, i) => (i % 2 ? el("code", { dir: "auto" }, part) : part));

export function prose(parts, follow) {
  return parts.map((part) => {
    if (part.kind === "code") return el("code", { dir: "auto" }, part.text);
    if (part.kind === "quote") return el("q", { dir: "auto" }, part.text.slice(1, -1));
    if (part.kind !== "figure") return part.text;
    const { id, path, cites } = part.figure;
    return el("button", { type: "button", class: "figure", title: `${id}: ${path}; rests on ${cites.join(", ")}`, click: () => follow(part.figure) }, part.text);
  });
}
