// The city on a map: vector tiles of the collections, coloured by a property; objects picked, areas drawn and lit.

const DRAWN = "drawn";
// Ten colours that stay apart for those who see red and green alike (Tol, bright and muted).
const CLASSES = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44aa99", "#999933", "#882255"];
// From sound to dangerous.
const GRADES = ["#5aae61", "#e8c547", "#ef7f3a", "#b2182b"];
const RAMP = ["#fdedb0", "#fab56e", "#e8735a", "#b13a68", "#5a1d6b"];
const UNKNOWN = "#c3c9d1";

// How each type is drawn, from the bottom up; types the city adds lie on top of the areas.
const STYLES = {
  planning_zone: { fill: "#c9a0dc", opacity: 0.18, line: "#8e5ba6", hidden: true },
  division: { line: "#6b7380", width: 2, dash: [4, 2], hidden: true },
  parcel: { fill: "#f3eee2", opacity: 0.75, line: "#cfc6b2", width: 0.7 },
  green_space: { fill: "#a9cf8f", opacity: 0.8, line: "#7fae62" },
  road: { line: "#ffffff", width: 4, casing: "#b9bfc8" },
  pipe: { line: "#3a7ca5", width: 1.4, hidden: true },
  building: { fill: UNKNOWN, opacity: 0.95, line: "#5b6675", width: 0.5 },
  component: { circle: "#7a5195", radius: 2.5, hidden: true },
  facility: { circle: "#d1495b", radius: 5 },
  renewal_district: { line: "#d1242f", width: 2.6, dash: [3, 1.5] },
};
const OTHER = { fill: "#8fb3d9", opacity: 0.4, line: "#48719e", circle: "#48719e", radius: 4, hidden: true };

export class PlannerMap {
  constructor(container, config, picked) {
    this.config = config;
    this.picked = picked;
    this.asOf = null;
    this.map = new maplibregl.Map({
      container,
      style: { version: 8, sources: {}, layers: [{ id: "ground", type: "background", paint: { "background-color": "#e7e9ec" } }] },
      bounds: config.bounds,
      fitBoundsOptions: { padding: 40 },
      attributionControl: false,
    });
    this.map.addControl(new maplibregl.NavigationControl({ visualizePitch: true }), "top-right");
    this.map.addControl(new maplibregl.ScaleControl(), "bottom-right");
    this.ready = new Promise((resolve) => this.map.on("load", resolve)).then(() => this.#build());
  }

  #tiles(type) {
    const asked = this.asOf === null ? "" : `?as-of=${encodeURIComponent(this.asOf)}`;
    return [`${this.config.tiles.replace("{type}", type)}/{z}/{y}/{x}${asked}`];
  }

  #build() {
    const known = Object.keys(STYLES);
    const order = [...this.config.types].sort((a, b) => {
      const [left, right] = [known.indexOf(a.name), known.indexOf(b.name)];
      return (left < 0 ? known.indexOf("road") : left) - (right < 0 ? known.indexOf("road") : right);
    });
    for (const { name, geometry } of order) {
      this.map.addSource(name, { type: "vector", tiles: this.#tiles(name), maxzoom: 18, promoteId: "code" });
      this.#layers(name, geometry, STYLES[name] ?? OTHER);
    }
    this.map.addSource(DRAWN, { type: "geojson", data: { type: "FeatureCollection", features: [] } });
    const tint = { id: "drawn-fill", type: "fill", source: DRAWN, paint: { "fill-color": "#d1242f", "fill-opacity": 0.12 } };
    this.map.addLayer(tint, "building"); // below buildings, whose colours mean something
    this.map.addLayer({ id: "drawn-line", type: "line", source: DRAWN, paint: { "line-color": "#d1242f", "line-width": 2.4 } });
    const lit = ["in", ["get", "code"], ["literal", []]];
    this.map.addLayer({
      id: "planned", type: "line", source: "building", "source-layer": "building", filter: lit,
      paint: { "line-color": "#0b57d0", "line-width": 3.5 },
    });
    this.map.addLayer({
      id: "lit", type: "line", source: "building", "source-layer": "building", filter: lit,
      paint: { "line-color": "#111", "line-width": 3 },
    });
    this.map.on("click", (event) => (this.corners ? this.#corner(event) : this.#pick(event)));
    this.map.on("dblclick", (event) => this.corners && (event.preventDefault(), this.#close()));
    for (const name of this.#pickable()) {
      this.map.on("mouseenter", name, () => { if (!this.corners) this.map.getCanvas().style.cursor = "pointer"; });
      this.map.on("mouseleave", name, () => { if (!this.corners) this.map.getCanvas().style.cursor = ""; });
    }
  }

  #layers(name, geometry, style) {
    const from = { source: name, "source-layer": name, layout: { visibility: style.hidden ? "none" : "visible" } };
    const add = (id, type, paint) => this.map.addLayer({ id, type, paint, ...from });
    if (geometry === "Point") {
      add(name, "circle", { "circle-color": style.circle ?? OTHER.circle, "circle-radius": style.radius ?? 4, "circle-stroke-color": "#fff", "circle-stroke-width": 1 });
      return;
    }
    if (geometry.includes("Polygon") && style.fill) {
      add(name, "fill", { "fill-color": style.fill, "fill-opacity": style.opacity });
    }
    if (style.casing) {
      add(`${name}-casing`, "line", { "line-color": style.casing, "line-width": this.#wide(style.width + 1.6) });
    }
    const line = geometry.includes("Polygon") && style.fill ? `${name}-line` : name;
    const paint = { "line-color": style.line, "line-width": style.casing ? this.#wide(style.width) : style.width ?? 1 };
    if (style.dash) paint["line-dasharray"] = style.dash;
    add(line, "line", paint);
    if (name === "building") {
      add("building-solid", "fill-extrusion", {
        "fill-extrusion-color": style.fill,
        "fill-extrusion-height": ["coalesce", ["get", "height"], ["*", 3, ["coalesce", ["get", "storeys_above"], 1]]],
        "fill-extrusion-opacity": 0.92,
      });
      this.map.setLayoutProperty("building-solid", "visibility", "none");
    }
  }

  #wide(width) {
    return ["interpolate", ["exponential", 2], ["zoom"], 12, width / 4, 16, width, 19, width * 4];
  }

  #pickable() {
    return this.config.types.map((type) => type.name).filter((name) => this.map.getLayer(name)).concat("building-solid");
  }

  #parts(name) {
    return [name, `${name}-casing`, `${name}-line`, ...(name === "building" && this.solid ? ["building-solid"] : [])]
      .filter((id) => this.map.getLayer(id));
  }

  shown(name) {
    return !(STYLES[name] ?? OTHER).hidden;
  }

  show(name, visible) {
    for (const id of this.#parts(name)) this.map.setLayoutProperty(id, "visibility", visible ? "visible" : "none");
  }

  // Show the city as it was at a tree size or instant; null is now.
  at(asOf) {
    this.asOf = asOf;
    for (const { name } of this.config.types) this.map.getSource(name).setTiles(this.#tiles(name));
  }

  // Colour buildings by a property and return its legend: [[colour, label]].
  colour(property) {
    const chosen = this.config.colours.find((one) => one.name === property);
    let [paint, legend] = [UNKNOWN, []];
    if (chosen?.values) {
      const palette = property === "danger_grade" ? GRADES : CLASSES;
      const entries = Object.entries(chosen.values).map(([value, label], place) => [palette[place % palette.length], value, label]);
      paint = ["match", ["get", property], ...entries.flatMap(([colour, value]) => [value, colour]), UNKNOWN];
      legend = entries.map(([colour, , label]) => [colour, label]);
    } else if (chosen) {
      const [first, ...stops] = chosen.stops.map((stop, place) => [RAMP[place], stop]);
      const steps = ["step", ["get", property], first[0], ...stops.flatMap(([colour, stop]) => [stop, colour])];
      paint = ["case", ["has", property], steps, UNKNOWN];
      legend = chosen.stops.map((stop, place) => {
        const next = chosen.stops[place + 1];
        return [RAMP[place], place === 0 ? `< ${next}` : next === undefined ? `≥ ${stop}` : `${stop} – ${next}`];
      });
    }
    this.map.setPaintProperty("building", "fill-color", paint);
    this.map.setPaintProperty("building-solid", "fill-extrusion-color", paint);
    return legend.length ? [...legend, [UNKNOWN, this.config.words.unknown]] : [];
  }

  // Raise buildings to their height, or lay them flat.
  raise(solid) {
    this.solid = solid;
    this.map.setLayoutProperty("building-solid", "visibility", solid ? "visible" : "none");
    this.map.easeTo({ pitch: solid ? 55 : 0, bearing: solid ? -20 : 0 });
  }

  // Outline buildings of these codes: those that an answer names, or that a proposal is about.
  light(codes, layer = "lit") {
    this.map.setFilter(layer, ["in", ["get", "code"], ["literal", [...codes]]]);
  }

  // Let the user draw a geometry by its corners: a double click or Enter ends it, Escape gives up (null).
  draw(kind = "Polygon") {
    this.kind = kind;
    this.corners = [];
    this.map.doubleClickZoom.disable();
    this.map.getCanvas().style.cursor = "crosshair";
    this.pressed = (event) => {
      if (event.key === "Enter") this.#close();
      if (event.key === "Escape") this.#end(null);
    };
    document.addEventListener("keydown", this.pressed);
    return new Promise((resolve) => { this.drawn = resolve; });
  }

  outline(geometry) {
    this.map.getSource(DRAWN).setData(geometry ?? { type: "FeatureCollection", features: [] });
  }

  fit(geometry) {
    const points = geometry.coordinates.flat(geometry.type === "MultiPolygon" ? 2 : 1);
    const [lon, lat] = [points.map((p) => p[0]), points.map((p) => p[1])];
    this.map.fitBounds([[Math.min(...lon), Math.min(...lat)], [Math.max(...lon), Math.max(...lat)]], { padding: 60, maxZoom: 18 });
  }

  #corner(event) {
    const { lng, lat } = event.lngLat;
    this.corners.push([lng, lat].map((degrees) => Math.round(degrees * 1e7) / 1e7));
    if (this.kind === "Point") {
      this.#end({ type: "Point", coordinates: this.corners[0] });
      return;
    }
    this.outline({ type: "LineString", coordinates: this.corners.length > 1 ? this.corners : [...this.corners, this.corners[0]] });
  }

  #close() {
    // The second click of a double click is a corner of its own, on the one before.
    const corners = this.corners.filter((corner, place) => place === 0 || corner.join() !== this.corners[place - 1].join());
    if (corners.length < (this.kind === "Polygon" ? 3 : 2)) return;
    const [closed, open] = [[[...corners, corners[0]]], corners];
    this.#end({ type: this.kind, coordinates: this.kind === "Polygon" ? closed : open });
  }

  #end(geometry) {
    document.removeEventListener("keydown", this.pressed);
    this.corners = null;
    this.map.getCanvas().style.cursor = "";
    this.outline(geometry);
    setTimeout(() => this.map.doubleClickZoom.enable());
    this.drawn(geometry);
  }

  #pick(event) {
    const [found] = this.map.queryRenderedFeatures(event.point, { layers: this.#pickable().filter((id) => this.map.getLayoutProperty(id, "visibility") !== "none") });
    if (found) this.picked(found.sourceLayer, found.properties, event.lngLat);
  }

  // Call once all that is asked for is there and drawn; it may be already.
  whenDrawn(then) {
    this.map.once("idle", then);
    this.map.triggerRepaint();
  }

  popup(at, content) {
    new maplibregl.Popup({ maxWidth: "22rem" }).setLngLat(at).setDOMContent(content).addTo(this.map);
  }
}
