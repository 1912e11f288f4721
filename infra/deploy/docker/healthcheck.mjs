// HEALTHCHECK of the images: is the service alive? Readiness is a separate check (/readyz): an unready service gets no
// traffic, but restarting it would help nobody.
const port = process.env.OPS_PORT || process.argv[2];
const { status } = await fetch(`http://127.0.0.1:${port}/livez`, {
  signal: AbortSignal.timeout(2_000),
}).catch(() => ({ status: 0 }));
process.exit(status === 200 ? 0 : 1);
