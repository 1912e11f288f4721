// GET /v1/partitions: the map, the owner of each part, and its state.

import { partitionMapToGeoJson } from '@whereabouts/infra/partition-geojson';
import type { Static } from 'typebox';
import type { Api } from './api-instance.js';
import { NoParameters } from './parameter-schemas.js';
import { askQuestion, type Ground } from './questions.js';
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
      'What is not known of a partition is null, never 0. Answers even while every partition is dark, as the ' +
      'map itself is still known.',
    querystring: NoParameters,
    response: responses({ [JSON_TYPE]: PartitionsAnswer, [GEOJSON_TYPE]: PartitionsCollection }, {}),
  };
  app.get(route, { schema }, ({ subject, answerType }) => {
    const question = { caller: subject, route, weight: weightOfMap(map.partitions) };
    const partitions = askQuestion(ground, question, () => lookAtPartitions(ground));
    const members = {
      map: { hash: map.hash, partitions: map.partitions },
      ...ground.views.coverageOf(),
    };
    if (answerType !== GEOJSON_TYPE) return JSON.stringify({ ...members, partitions });
    const described = features.map((feature, i) => ({ ...feature, properties: partitions[i] }));
    return JSON.stringify({ type: 'FeatureCollection', ...members, features: described });
  });
}

function lookAtPartitions(ground: Ground): PartitionBody[] {
  return Array.from({ length: ground.store.map.partitions }, (_, partition) => lookAt(ground, partition));
}

function lookAt({ store, follower, index, views }: Ground, partition: number): PartitionBody {
  const { map } = store;
  const unwellSinceMs = views.unwellSinceMs(partition);
  const place = {
    partition,
    ...map.range(partition),
    slot: map.slotOf(partition),
    tag: map.tagOf(partition),
    node: store.nodeOf(partition),
    health: views.reasonOf(partition) ?? ('ok' as const),
    unwell_since: unwellSinceMs === null ? null : new Date(unwellSinceMs).toISOString(),
  };
  const log = follower.partitions[partition]?.log ?? null;
  if (log === null || !views.isSeen(partition)) {
    return { ...place, drivers: null, available: null, busy: null, loss_window_ms: null };
  }
  const [offline, available, busy] = index.countsOf(partition);
  const loss_window_ms = log.dirtySinceMs === null ? 0 : Math.max(0, store.nowMs() - log.dirtySinceMs);
  return { ...place, drivers: offline + available + busy, available, busy, loss_window_ms };
}
