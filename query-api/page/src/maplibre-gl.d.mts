// The build puts MapLibre beside our modules; browsers know no packages.
export * from 'maplibre-gl';
