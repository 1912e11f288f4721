// GET /v1/drivers/nearby/stream: the nearest drivers, followed by the changes.

import type { Api } from './api-instance.js';
import { EVENT_STREAM_TYPE, EventStream } from './event-stream.js';
import { NearbySubscription } from './nearby-subscription.js';
import { streamSchema } from './parameter-schemas.js';
import { askQuestion, type Ground } from './questions.js';
import { responses } from './route-schema.js';
import { NearbyStream } from './schemas.js';
import type { Opened } from './streams.js';
import { weightOfCircles } from './weight.js';

export function addNearbyStream(app: Api, ground: Ground): void {
  const route = '/v1/drivers/nearby/stream';
  const schema = {
    operationId: 'nearbyStream',
    summary: 'The drivers nearest to a point, and then what changes',
    description:
      'Server-Sent Events. `snapshot` is what nearby answers; then comes a `change` whenever a driver entered or left ' +
      'the nearest, or moved by `min_move_m`, or another part of the circle can be seen, at most twice a second. ' +
      'Applied in their order to the snapshot they give what nearby would answer. The `id` of an event, also in it as ' +
      '`revision`, names what the process held then. A stream always begins with a snapshot, so a caller that reconnects, ' +
      'here or at another process, with `Last-Event-ID` or without, must discard its earlier state. `end` says why the ' +
      'stream ends: `token_expired`, or `draining`, when this process is being stopped. A caller that reads too slowly ' +
      'misses no state, only what lay between; one that reads nothing for 10 s is closed. A comment comes after 15 s ' +
      'of silence.',
    querystring: streamSchema(ground.freshnessMs),
    response: responses(
      { [EVENT_STREAM_TYPE]: NearbyStream },
      {
        429: 'This caller alone asks too much, or has too many streams open: retry after `Retry-After`',
        503: 'No partition that the circle touches gave an answer, or too many streams are open',
      },
    ),
  };
  app.get(route, { schema }, (request, reply) => {
    const { query, subject } = request;
    const { streams } = ground;
    streams.admit(subject);
    const { min_move_m, ...parameters } = query;
    const subscription = new NearbySubscription(ground, parameters, min_move_m);
    const revision = ground.revision();
    const question = { caller: subject, route, weight: weightOfCircles([parameters]) };
    const snapshot = askQuestion(ground, question, (looked) => subscription.snapshot(revision, looked));
    reply.hijack();
    const events = new EventStream(reply.raw, reply.getHeaders());
    if (request.method === 'HEAD') {
      events.end();
      return;
    }
    request.isStream = true;
    const { tokenExpiresAtMs } = request;
    const change: Opened['change'] = (now, looked) => subscription.change(now, looked);
    streams.open({ subject, tokenExpiresAtMs, events, change }, snapshot, revision);
    return;
  });
}
