// What must hold of every answer, computed independently of the service.

const EARTH_RADIUS_M = 6_371_008.8;
const radians = (degrees) => (degrees * Math.PI) / 180;

/** Haversine. */
export function distanceM(lat1, lon1, lat2, lon2) {
  const dLat = Math.sin(radians(lat2 - lat1) / 2);
  const dLon = Math.sin(radians(lon2 - lon1) / 2);
  const h = dLat * dLat + Math.cos(radians(lat1)) * Math.cos(radians(lat2)) * dLon * dLon;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.sqrt(h));
}

/** Ties by id; distances that are equal once rounded need not have been a tie. */
export const isNearestFirst = (drivers) =>
  drivers.every(({ distance_m }, i) => i === 0 || drivers[i - 1].distance_m <= distance_m);
