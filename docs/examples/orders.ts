// The orders of a seller, in a file that grows by a line for whatever happens. A shop has a database for them.

import { existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";

export type End = "paid" | "unpaid";
type Line = { open: string } | { close: string; end: End };

/** Orders by the id of the payment that pays them. */
export class Orders {
  // Two lists, because the news that an order is paid can come before the answer that opens it.
  readonly #opened = new Set<string>();
  readonly #ended = new Map<string, End>();
  readonly #file: number;

  constructor(path: string) {
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    // Of a line that was being written when the shop was killed, nobody was told that it is kept.
    if (whole !== text) truncateSync(path, Buffer.byteLength(whole));
    for (const line of whole.split("\n").slice(0, -1)) this.#take(JSON.parse(line));
    this.#file = openSync(path, "a");
  }

  /** Whether it is known, and how it stands. */
  state(payment: string): End | "open" | "unknown" {
    // Payments that pay something else are told of as well, and open nothing here.
    if (!this.#opened.has(payment)) return "unknown";
    return this.#ended.get(payment) ?? "open";
  }

  open(payment: string): void {
    if (!this.#opened.has(payment)) this.#keep({ open: payment });
  }

  close(payment: string, end: End): void {
    if (!this.#ended.has(payment)) this.#keep({ close: payment, end });
  }

  /** Is on disk when it returns. */
  #keep(line: Line): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
    fsyncSync(this.#file);
    this.#take(line);
  }

  #take(line: Line): void {
    if ("open" in line) this.#opened.add(line.open);
    else this.#ended.set(line.close, line.end);
  }
}
