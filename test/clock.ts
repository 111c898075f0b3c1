/** The test entry's clock: the real one until a test moves it. */
let offset = 0

export const clock = {
  now: () => Date.now() + offset,
  advance: (ms: number) => {
    offset += ms
  },
  reset: () => {
    offset = 0
  },
}
