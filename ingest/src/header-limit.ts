// Sets how many bytes an address and its headers may have. Imported before uWebSockets.js, which reads this once, when it
// is loaded. The default is 4,096, with which a token of 8,000 characters is answered with 431.

const MAX_HEADER_BYTES = 16 * 1024;

process.env.UWS_HTTP_MAX_HEADERS_SIZE = String(MAX_HEADER_BYTES);
