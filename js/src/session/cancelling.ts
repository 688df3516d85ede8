/** Cancels runs, and knows which ones are being cancelled. */

/** Milliseconds in which the kernel must answer a cancel before the running cell is interrupted. */
const CANCEL_TIMEOUT = 300;
/** Milliseconds after which a run that does not end can be cancelled again. */
const CANCEL_AGAIN = 10_000;

/** What has the runs. */
interface RunsHost {
  /** Whether a run is queued or running. */
  readonly active: boolean;
  /** Ask the kernel; undefined means that it failed. */
  requestOrNotify(kind: string, body: Record<string, unknown>): Promise<unknown>;
}

export class Cancelling {
  readonly #ids = new Set<string>();
  readonly #host: RunsHost;
  readonly #interrupt: () => void;
  readonly #onChange: () => void;
  #interruptTimer: ReturnType<typeof setTimeout> | undefined;
  #againTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(host: RunsHost, interrupt: () => void, onChange: () => void) {
    this.#host = host;
    this.#interrupt = interrupt;
    this.#onChange = onChange;
  }

  /** Return whether a run is being cancelled. */
  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Note that no run is being cancelled any more. */
  clear(): void {
    this.#ids.clear();
  }

  /**
   * Send a request that cancels runs.
   *
   * A kernel that is busy with the cell of the run may read messages only when the cell ends. Then the cell is
   * interrupted.
   */
  send(body: Record<string, unknown>, ids: readonly string[], isCellRun: boolean): void {
    const settle = () => {
      for (const id of ids) this.#ids.delete(id);
      this.#onChange();
    };
    for (const id of ids) this.#ids.add(id);
    this.#onChange();
    this.destroy();
    this.#againTimer = setTimeout(settle, CANCEL_AGAIN);
    if (isCellRun) this.#interruptTimer = setTimeout(() => this.#host.active && this.#interrupt(), CANCEL_TIMEOUT);
    void this.#host.requestOrNotify("cancel", body).then((answer) => {
      if (isCellRun) clearTimeout(this.#interruptTimer);
      if (!answer) settle();
    });
  }

  destroy(): void {
    clearTimeout(this.#interruptTimer);
    clearTimeout(this.#againTimer);
  }
}
