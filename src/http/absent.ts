/** Stands for schema libraries that hono-openapi could describe and that we don't use (see `alias` in wrangler.toml). */
export default undefined
