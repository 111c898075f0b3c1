/** For so many turns of the event loop at most is waited for those who came together before. */
const MOST_TURNS = 3

/**
 * Work that comes while the object is busy with other calls is done in one turn, in the order in which it came: what it
 * all leaves goes to disk with one commit, where each call's own would be as many. Whoever always comes alone waits for
 * the next turn of the event loop and nothing else.
 */
export class Gathering {
  #turn: Promise<void> | undefined
  #came = 0
  #cameBefore = 0

  /** Does the work with all that has come by then. What one throws concerns no other. */
  join<T>(work: () => T | Promise<T>): Promise<T> {
    this.#came++
    this.#turn ??= this.#gathered()
    return this.#turn.then(work)
  }

  async #gathered(): Promise<void> {
    let turns = 0
    do await scheduler.wait(0)
    while (++turns < MOST_TURNS && this.#came < this.#cameBefore)
    this.#cameBefore = this.#came
    this.#came = 0
    this.#turn = undefined
  }
}
