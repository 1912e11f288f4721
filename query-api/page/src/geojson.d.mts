// The build strips types; browsers know no packages.
export type * from 'geojson';
