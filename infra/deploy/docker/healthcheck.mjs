// HEALTHCHECK of the images: the service lives. Whether it is ready is another question (/readyz): who is not ready gets no
// traffic, but to be started again would help nobody.
const port = process.env.OPS_PORT || process.argv[2];
const { status } = await fetch(`http://127.0.0.1:${port}/livez`, {
  signal: AbortSignal.timeout(2_000),
}).catch(() => ({ status: 0 }));
process.exit(status === 200 ? 0 : 1);
