// Builds the example of a body in /openapi.json from the examples of its parts. So every new answer has an example, and
// none can differ from its schema.

import type { TSchema } from 'typebox';

interface Part {
  $ref?: string;
  type?: string;
  const?: unknown;
  enum?: readonly unknown[];
  default?: unknown;
  examples?: readonly unknown[];
  items?: Part;
  properties?: Record<string, Part>;
  anyOf?: readonly Part[];
  oneOf?: readonly Part[];
}

class SampleError extends Error {
  readonly code = 'no_sample';
}

export type Sampler = (schema: TSchema) => unknown;

/** `components`: the targets of references, by their `$id`. */
export function sampler(components: readonly TSchema[]): Sampler {
  const byId = new Map(components.map((one) => [(one as { $id: string }).$id, one as Part]));
  return (schema) => sampleOf(schema as Part);

  function sampleOf(part: Part): unknown {
    const { $ref, properties, items, examples = [], anyOf, oneOf } = part;
    if (examples.length > 0) return examples[0];
    if (part.const !== undefined) return part.const;
    if ($ref !== undefined) return sampleOf(byId.get($ref) ?? {});
    if (properties) {
      const entries = Object.entries(properties).map(([name, one]) => [name, sampleOf(one)]);
      return Object.fromEntries(entries);
    }
    if (items) return [sampleOf(items)];
    const [first] = anyOf ?? oneOf ?? [];
    if (first) return sampleOf(first);
    throw new SampleError(`an example is missing: ${JSON.stringify(part).slice(0, 200)}`);
  }
}
