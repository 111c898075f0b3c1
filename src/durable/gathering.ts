/**
 * Work that comes while the object is busy with other calls is done in one turn, in the order in which it came: what it
 * all leaves goes to disk with one commit, where each call's own would be as many. Whoever comes alone waits for the next
 * turn of the event loop and nothing else.
 */
export class Gathering {
  #turn: Promise<void> | undefined

  /** Does the work with all that has come by then. What one throws concerns no other. */
  join<T>(work: () => T | Promise<T>): Promise<T> {
    this.#turn ??= scheduler.wait(0).then(() => {
      this.#turn = undefined
    })
    return this.#turn.then(work)
  }
}
