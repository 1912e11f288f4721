// Assembles the page.

import { Api } from './api.js';
import { Cities, type CityFile } from './cities.js';
import { element } from './dom.js';
import { keepToken, readView, takeToken } from './fragment.js';
import { Page, type PageSettings } from './page.js';

async function file<T>(path: string): Promise<T> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return (await response.json()) as T;
}

const api = new Api(takeToken());
const view = readView(location.hash);
const [settings, cities] = await Promise.all([
  file<PageSettings>('/page-settings.json'),
  // Without names a region is labelled with its range.
  file<CityFile>('/cities.geojson').catch(() => ({ features: [] })),
]);
const page = new Page({ api, settings, cities: new Cities(cities) }, view);
element('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = element<HTMLInputElement>('token');
  page.useToken(keepToken(field.value));
  field.value = '';
});
