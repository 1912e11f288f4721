// Drivers as the map's source reads them: GeoJSON, written as text, since MapLibre's worker parses it and the page never
// touches it.

import type { Driver } from './api.js';

export function driverProperties({ driver_id, status, heading_deg }: Driver) {
  const kind = status === 'available' ? 'available' : 'busy';
  const image = `${kind}-${heading_deg === null ? 'dot' : 'arrow'}`;
  return { id: driver_id, image, heading: heading_deg ?? 0 };
}

/** Ids need no escapes: they are of A-Z a-z 0-9 _ -. */
export function driverFeatures(drivers: readonly Driver[]): string {
  const features = drivers.map((driver) => {
    const { id, image, heading } = driverProperties(driver);
    return (
      `{"type":"Feature","geometry":{"type":"Point","coordinates":[${driver.lon},${driver.lat}]},` +
      `"properties":{"id":"${id}","image":"${image}","heading":${heading}}}`
    );
  });
  return `{"type":"FeatureCollection","features":[${features.join()}]}`;
}
