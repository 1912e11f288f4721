// Where simulated drivers drive. A city is a street grid, turned by an angle, with places that people go to.

export interface City {
  name: string;
  lat: number;
  lon: number;
  /** Most trips stay within this. */
  radiusM: number;
  /** Its share of the fleet. */
  weight: number;
  gridDeg: number;
  /** East and north of the centre in metres, and how often it is a destination. */
  places: readonly { east: number; north: number; weight: number }[];
}

const CENTRE = { east: 0, north: 0, weight: 4 };

export const CITIES: readonly City[] = [
  {
    name: 'warsaw',
    lat: 52.2297,
    lon: 21.0122,
    radiusM: 9_000,
    weight: 5,
    gridDeg: 17,
    places: [CENTRE, { east: -3_000, north: -7_300, weight: 2 }, { east: 4_200, north: 1_500, weight: 1 }],
  },
  {
    name: 'austin',
    lat: 30.2672,
    lon: -97.7431,
    radiusM: 11_000,
    weight: 3,
    gridDeg: 18,
    places: [CENTRE, { east: 7_000, north: -8_000, weight: 2 }, { east: 500, north: 2_300, weight: 2 }],
  },
  {
    name: 'sao-paulo',
    lat: -23.5505,
    lon: -46.6333,
    radiusM: 14_000,
    weight: 6,
    gridDeg: 40,
    places: [CENTRE, { east: -2_300, north: -1_600, weight: 3 }, { east: -2_200, north: -8_300, weight: 1 }],
  },
  {
    name: 'nairobi',
    lat: -1.2864,
    lon: 36.8172,
    radiusM: 8_000,
    weight: 3,
    gridDeg: 35,
    places: [CENTRE, { east: 12_000, north: -4_000, weight: 1 }, { east: -1_500, north: 2_400, weight: 2 }],
  },
  {
    name: 'singapore',
    lat: 1.3048,
    lon: 103.8318,
    radiusM: 10_000,
    weight: 4,
    gridDeg: 50,
    places: [CENTRE, { east: 17_500, north: 6_500, weight: 1 }, { east: 2_500, north: -2_500, weight: 3 }],
  },
];

export function findCities(names: readonly string[]): { found: City[]; unknown: string[] } {
  const byName = new Map(CITIES.map((city) => [city.name, city]));
  const found = names.map((name) => byName.get(name)).filter((city): city is City => city !== undefined);
  return { found, unknown: names.filter((name) => !byName.has(name)) };
}
