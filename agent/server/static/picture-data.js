// Numbers and texts of results as pictures need them. Results are data of a file that anybody may have changed, so a
// number may be none, a list empty, and a token as long as a book.
import { visible } from "./dom.js";

const LONGEST_TOKEN = 18; // characters

export const list = (value) => (Array.isArray(value) ? value : []);
export const finite = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
export const finites = (values) => list(values).filter((value) => finite(value) !== null);
export const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
export const least = (values) => values.reduce((found, value) => Math.min(found, value), Infinity);
export const most = (values) => values.reduce((found, value) => Math.max(found, value), -Infinity);

// A number as it is read: three digits, and `none` where there is none.
export function num(value) {
  if (finite(value) === null) return "none";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1);
  return String(Number(size >= 100 ? value.toFixed(0) : value.toPrecision(3)));
}

// Two decimals for cells; what rounds to nothing is 0, without a sign.
export function cellText(value) {
  if (finite(value) === null) return "–";
  if (Math.abs(value) >= 10) return num(value);
  const text = value.toFixed(2);
  return Number(text) === 0 ? "0" : text;
}

export function cut(text, longest = 80) {
  const letters = [...visible(text ?? "")];
  return letters.length > longest ? `${letters.slice(0, longest - 1).join("")}…` : letters.join("");
}

// A token without the space that it begins with; what is only space is named.
export function token(text, longest = LONGEST_TOKEN) {
  const whole = String(text ?? "");
  if (whole.trim()) return cut(whole.trim(), longest);
  return whole.includes("\n") ? "⏎" : whole ? "␣" : "∅";
}

export function place(text, at) {
  return `${at} ${token(text)}`;
}

// Where the value of largest size stands; -1 where there is no value.
export function strongest(values) {
  return values.reduce((best, value, at) => (finite(value) !== null && (best < 0 || Math.abs(value) > Math.abs(values[best])) ? at : best), -1);
}

// A round number that a scale reaches to, so that pictures of like size have like scales.
export function reachOf(values, usual) {
  const largest = most(values.map(Math.abs));
  if (!Number.isFinite(largest) || largest === 0) return usual;
  if (largest > usual / 2 && largest <= 2 * usual) return usual;
  const power = 10 ** Math.floor(Math.log10(largest));
  return Number((power * [1, 2, 5, 10].find((step) => step * power >= largest * (1 - 1e-9))).toPrecision(3));
}

export const counted = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
