// Reads a Dockerfile: the part of the language that ours uses. Anything else is an error, so that a check of our
// Dockerfile never skips a line.

export interface Instruction {
  line: number;
  keyword: string;
  text: string;
}

export interface Stage {
  name: string;
  /** Another stage, or an image. */
  from: string;
  instructions: Instruction[];
}

export interface Copy {
  /** A stage; null: the build context. */
  from: string | null;
  sources: string[];
  target: string;
}

const KNOWN = ['WORKDIR', 'COPY', 'RUN', 'ENV', 'ARG', 'USER', 'STOPSIGNAL', 'EXPOSE', 'HEALTHCHECK', 'CMD'];

function instructionsOf(text: string): Instruction[] {
  const instructions: Instruction[] = [];
  let open: Instruction | null = null;
  for (const [index, raw] of text.split('\n').entries()) {
    if (raw.trim() === '' || raw.trimStart().startsWith('#')) continue;
    const isContinued = raw.endsWith('\\');
    const part = isContinued ? raw.slice(0, -1) : raw;
    if (open) {
      open.text += part;
    } else {
      const [, keyword = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(part) ?? [];
      open = { line: index + 1, keyword: keyword.toUpperCase(), text: rest };
    }
    if (isContinued) continue;
    instructions.push(open);
    open = null;
  }
  return instructions;
}

/** Fills in `${NAME}`; an unknown name is an error. */
export function substituted(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`the Dockerfile does not say what ${name} is`);
    return value;
  });
}

/** NAME or NAME=default; null if there is no default. */
export function parseArg(text: string): [name: string, fallback: string | null] {
  const [name = '', fallback = null] = text.split('=');
  return [name, fallback];
}

export function parseEnv(text: string): Record<string, string> {
  return Object.fromEntries(
    text
      .trim()
      .split(/\s+/)
      .map((pair) => {
        const [, name = '', value = ''] = /^(\w+)=(\S*)$/.exec(pair) ?? [];
        if (name === '') throw new Error(`ENV ${text}: NAME=value is expected`);
        return [name, value];
      }),
  );
}

export function parseCopy(text: string): Copy {
  const words = text.trim().split(/\s+/);
  const flags = words.filter((word) => word.startsWith('--'));
  const paths = words.slice(flags.length);
  const from = flags.map((flag) => /^--from=(\S+)$/.exec(flag)?.[1]);
  if (from.includes(undefined) || paths.length < 2) throw new Error(`COPY ${text}: not understood`);
  return { from: from[0] ?? null, sources: paths.slice(0, -1), target: paths.at(-1) as string };
}

/** The exec form only: a shell in between would swallow the signals. */
export function parseExec(text: string): string[] {
  const words: unknown = JSON.parse(text);
  if (!Array.isArray(words)) throw new Error(`${text}: a JSON list is expected`);
  return words.map(String);
}

export function parseDockerfile(text: string): Stage[] {
  const stages: Stage[] = [];
  const values: Record<string, string> = {};
  for (const instruction of instructionsOf(text)) {
    const stage = stages.at(-1);
    if (instruction.keyword === 'FROM') {
      const [, from, name] = /^(\S+) AS (\S+)$/.exec(substituted(instruction.text, values)) ?? [];
      if (!from || !name) throw new Error(`line ${instruction.line}: FROM image AS name is expected`);
      stages.push({ name, from, instructions: [] });
    } else if (stage === undefined && instruction.keyword === 'ARG') {
      const [name, fallback] = parseArg(instruction.text);
      if (fallback !== null) values[name] = fallback;
    } else if (stage !== undefined && KNOWN.includes(instruction.keyword)) {
      stage.instructions.push(instruction);
    } else {
      throw new Error(`line ${instruction.line}: ${instruction.keyword} is not understood`);
    }
  }
  return stages;
}

/** A stage with those it is based on, the lowest first. */
export function chainOf(stages: readonly Stage[], name: string): Stage[] {
  const stage = stages.find((known) => known.name === name);
  return stage === undefined ? [] : [...chainOf(stages, stage.from), stage];
}

/** The last value of an instruction, over all stages that this one is based on. */
export function lastOf(stages: readonly Stage[], name: string, keyword: string): string | undefined {
  return chainOf(stages, name)
    .flatMap(({ instructions }) => instructions)
    .findLast((instruction) => instruction.keyword === keyword)?.text;
}
