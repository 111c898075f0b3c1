/**
 * Work that comes while the object is busy with other calls is done in one turn, in the order in which it came: what it
 * all leaves goes to disk with one commit, where each call's own would be as many. Whoever comes alone waits for the next
 * turn of the event loop and nothing else.
 */
export class Gathering {
  #gathered: (() => void)[] = []

  /** Does the work with all that has come by then. What one throws concerns no other. */
  join<T>(work: () => T | Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#gathered.push(() => {
      try {
        resolve(work())
      } catch (error) {
        reject(error)
      }
    })
    if (this.#gathered.length === 1) void scheduler.wait(0).then(() => this.#turn())
    return promise
  }

  #turn(): void {
    const all = this.#gathered
    this.#gathered = []
    for (const each of all) each()
  }
}
