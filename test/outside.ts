/** The world that webhooks go to: what reached it, and how it answers. */
export type Received = { url: string; headers: Headers; body: string }

export const outside = {
  received: [] as Received[],
  answer: (_received: Received): Response | Promise<Response> => new Response(null, { status: 204 }),
}

const taken = outside.answer

export const calm = (): void => {
  outside.received = []
  outside.answer = taken
}

export const outsideFetch: typeof fetch = async (input, init) => {
  const request = new Request(input, init)
  const received = { url: request.url, headers: request.headers, body: await request.text() }
  outside.received.push(received)
  return outside.answer(received)
}
