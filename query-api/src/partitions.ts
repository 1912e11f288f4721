// GET /v1/partitions: the map, who owns which part of it, and how each part is.

import { partitionMapToGeoJson } from '@whereabouts/infra/partition-geojson';
import type { Static } from 'typebox';
import type { Api } from './api.js';
import type { Asking } from './asking.js';
import type { MissingPartition } from './missing.js';
import { NoParameters } from './parameter-schemas.js';
import { askQuestion, coverageOf, type Ground } from './questions.js';
import { GEOJSON_TYPE, JSON_TYPE, responses } from './route-schema.js';
import { type Partition, PartitionsAnswer, PartitionsCollection } from './schemas.js';
import { weightOfMap } from './weight.js';

type PartitionBody = Static<typeof Partition>;

export function addPartitions(app: Api, ground: Ground): void {
  const route = '/v1/partitions';
  const { map } = ground.store;
  // The cells never change while this process runs.
  const { features } = partitionMapToGeoJson(map);
  const schema = {
    operationId: 'partitions',
    summary: 'The partition map, its owners and their state',
    description:
      'What is not known of a partition is null, never 0. Answers also while every partition is dark, as the ' +
      'map itself is known all the same.',
    querystring: NoParameters,
    response: responses({ [JSON_TYPE]: PartitionsAnswer, [GEOJSON_TYPE]: PartitionsCollection }, {}),
  };
  app.get(route, { schema }, async ({ subject, answerType }) => {
    const partitions = await askQuestion(ground, {
      ...{ caller: subject, route, weight: weightOfMap(map.partitions) },
      answer: (asking) => lookAtPartitions(ground, asking),
    });
    const missing = partitions.flatMap(({ partition, health }): MissingPartition[] =>
      health === 'ok' ? [] : [{ partition, reason: health }],
    );
    const members = {
      map: { hash: map.hash, partitions: map.partitions },
      ...coverageOf(ground, missing),
    };
    if (answerType !== GEOJSON_TYPE) return { ...members, partitions };
    const described = features.map((feature, i) => ({ ...feature, properties: partitions[i] }));
    return { type: 'FeatureCollection', ...members, features: described };
  });
}

export function lookAtPartitions(ground: Ground, asking: Asking): Promise<PartitionBody[]> {
  const { partitions } = ground.store.map;
  return Promise.all(Array.from({ length: partitions }, (_, i) => lookAt(ground, i, asking)));
}

async function lookAt({ store }: Ground, partition: number, asking: Asking): Promise<PartitionBody> {
  const { map } = store;
  const status = await asking.ask(store.nodeOf(partition), () => store.status(partition));
  const place = {
    partition,
    ...map.range(partition),
    slot: map.slotOf(partition),
    tag: map.tagOf(partition),
  };
  const node = store.nodeOf(partition);
  if (typeof status === 'string') {
    const unknown = { drivers: null, available: null, busy: null, loss_window_ms: null };
    return { ...place, node, health: status, ...unknown };
  }
  const { health, drivers, available, busy, dirtySinceMs, nowMs } = status;
  const loss_window_ms = dirtySinceMs === null ? 0 : Math.max(0, nowMs - dirtySinceMs);
  return { ...place, node, health, drivers, available, busy, loss_window_ms };
}
