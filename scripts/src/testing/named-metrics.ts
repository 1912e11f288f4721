// The metrics that pages, dashboards and rules name, to be compared with those that services export.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../home.js';

export const DEPLOY = join(root, 'infra', 'deploy');
const DASHBOARDS = join(DEPLOY, 'grafana', 'dashboards');

export interface Query {
  dashboard: string;
  panel: string;
  /** With a real window in place of Grafana's variable. */
  expr: string;
}

interface Dashboard {
  title: string;
  panels: { title: string; targets?: { expr: string }[] }[];
}

export function dashboardQueries(): Query[] {
  return readdirSync(DASHBOARDS).flatMap((file) => {
    const { title, panels } = JSON.parse(readFileSync(join(DASHBOARDS, file), 'utf8')) as Dashboard;
    return panels.flatMap((panel) =>
      (panel.targets ?? []).map(({ expr }) => ({
        dashboard: title,
        panel: panel.title,
        expr: expr.replaceAll('$__rate_interval', '30s'),
      })),
    );
  });
}

/** Pages, dashboards and rules: the path from the root, and the text. */
export function filesWithMetrics(): { file: string; text: string }[] {
  const below = (dir: string, ending: RegExp) =>
    readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' })
      .filter((name) => ending.test(name))
      .map((name) => join(dir, name));
  const files = [
    ...readdirSync(root).filter((name) => name.endsWith('.md')),
    ...below('docs', /\.md$/),
    ...below(join('infra', 'deploy'), /\.(ya?ml|json|md)$/),
  ];
  return files.map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }));
}

const OURS = /\bwhereabouts_(\((?:[a-z_]+\|?)+\)|ingest|flusher|query_api|promoter)_([a-z0-9_]*[a-z0-9])/g;
const COMMON = /\b(?:process|nodejs)_[a-z0-9_]*[a-z0-9]\b/g;

/** Also if a query names several services at once: `whereabouts_(ingest|flusher)_x`. */
export function metricsNamedIn(text: string): Set<string> {
  const names = new Set<string>();
  for (const [, services = '', rest = ''] of text.matchAll(OURS)) {
    for (const service of services.replace(/[()]/g, '').split('|'))
      names.add(`whereabouts_${service}_${rest}`);
  }
  for (const [name] of text.matchAll(COMMON)) names.add(name);
  return names;
}

/** As /metrics exports them, with the series of histograms. */
export function metricsToldIn(text: string): Set<string> {
  const names = new Set<string>();
  for (const [, name = '', type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    names.add(name);
    if (type === 'histogram') for (const part of ['bucket', 'sum', 'count']) names.add(`${name}_${part}`);
  }
  return names;
}
