// A map of the GeoJSON a figure names, drawn here: no library, no tiles of others, no request to anybody else.
// Drag to move, wheel or +/- to zoom, point for the name, click for the object. `figure.map` tells when it is done:
// data-drawn is the number of features.

const styles = getComputedStyle(document.documentElement);
const colour = (name) => styles.getPropertyValue(name).trim();

const DEPTH = { Point: 0, MultiPoint: 1, LineString: 1, MultiLineString: 2, Polygon: 2, MultiPolygon: 3 };

function positions({ type, coordinates }) {
  return DEPTH[type] ? coordinates.flat(DEPTH[type] - 1) : [coordinates];
}

class CityMap {
  constructor(figure, features) {
    this.figure = figure;
    this.canvas = figure.querySelector("canvas");
    this.caption = figure.querySelector("figcaption");
    this.features = features.filter((feature) => feature.geometry);
    this.lit = null;
    this.shapes = [];
    const all = this.features.flatMap((feature) => positions(feature.geometry));
    const lon = all.map((p) => p[0]), lat = all.map((p) => p[1]);
    const low = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
    const high = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
    this.middle = [(low(lon) + high(lon)) / 2, (low(lat) + high(lat)) / 2];
    // Metres around the middle: what is shown is a city, small beside the earth.
    this.perDegree = [111320 * Math.cos((this.middle[1] * Math.PI) / 180), 111320];
    this.span = [
      Math.max((high(lon) - low(lon)) * this.perDegree[0], 60),
      Math.max((high(lat) - low(lat)) * this.perDegree[1], 60),
    ];
    this.resize();
    this.fit();
    this.listen();
  }

  resize() {
    const box = this.canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
    this.width = box.width;
    this.height = box.height;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    this.context = this.canvas.getContext("2d");
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  get fitting() { // pixels per metre
    return 0.85 * Math.min(this.width / this.span[0], this.height / this.span[1]);
  }

  fit() {
    this.scale = this.fitting;
    this.offset = [0, 0];
    this.draw();
  }

  place([longitude, latitude]) {
    return [
      this.width / 2 + this.offset[0] + (longitude - this.middle[0]) * this.perDegree[0] * this.scale,
      this.height / 2 + this.offset[1] - (latitude - this.middle[1]) * this.perDegree[1] * this.scale,
    ];
  }

  path(geometry) {
    const path = new Path2D();
    const line = (ring, close) => {
      ring.forEach((position, index) => path[index ? "lineTo" : "moveTo"](...this.place(position)));
      if (close) path.closePath();
    };
    const { type, coordinates } = geometry;
    if (type === "Polygon") coordinates.forEach((ring) => line(ring, true));
    else if (type === "MultiPolygon") coordinates.flat().forEach((ring) => line(ring, true));
    else if (type === "LineString") line(coordinates, false);
    else if (type === "MultiLineString") coordinates.forEach((part) => line(part, false));
    else (type === "Point" ? [coordinates] : coordinates).forEach((position) => {
      const [x, y] = this.place(position);
      path.moveTo(x + 4, y);
      path.arc(x, y, 4, 0, 2 * Math.PI);
    });
    return path;
  }

  draw() {
    const { context } = this;
    context.clearRect(0, 0, this.width, this.height);
    this.shapes = this.features.map((feature) => [feature, this.path(feature.geometry)]);
    for (const [feature, path] of this.shapes) {
      const lit = feature === this.lit;
      if (!feature.geometry.type.endsWith("LineString")) {
        context.fillStyle = lit ? colour("--accent") : colour("--fill");
        context.fill(path, "evenodd");
      }
      context.lineWidth = lit ? 3 : feature.geometry.type.endsWith("LineString") ? 2 : 1;
      context.strokeStyle = colour("--accent");
      context.stroke(path);
    }
    this.bar();
    this.figure.dataset.drawn = String(this.shapes.length);
  }

  bar() {
    const metres = 120 / this.scale, power = 10 ** Math.floor(Math.log10(metres));
    const length = [5, 2, 1].map((n) => n * power).find((n) => n <= metres) ?? power;
    const { context, width, height } = this, right = width - 16, left = right - length * this.scale;
    context.strokeStyle = context.fillStyle = colour("--ink");
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(left, height - 20);
    context.lineTo(left, height - 14);
    context.lineTo(right, height - 14);
    context.lineTo(right, height - 20);
    context.stroke();
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "right";
    context.fillText(length >= 1000 ? `${length / 1000} km` : `${length} m`, right, height - 24);
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
    const x = (event.clientX - box.left) * ratio, y = (event.clientY - box.top) * ratio;
    this.context.lineWidth = 8;
    const found = this.shapes.findLast(([feature, path]) =>
      feature.geometry.type.endsWith("Polygon")
        ? this.context.isPointInPath(path, x, y, "evenodd")
        : this.context.isPointInStroke(path, x, y) || this.context.isPointInPath(path, x, y));
    return found?.[0] ?? null;
  }

  light(feature) {
    if (feature === this.lit) return;
    document.querySelector("tr.lit")?.classList.remove("lit");
    this.lit = feature;
    this.canvas.classList.toggle("over", Boolean(feature));
    this.caption.textContent = feature ? [feature.properties.name, feature.id].filter(Boolean).join(" · ") : this.said ?? "";
    if (feature) document.querySelector(`tr[data-code="${CSS.escape(feature.id)}"]`)?.classList.add("lit");
    this.draw();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const from = [x - this.width / 2, y - this.height / 2];
    this.offset = this.offset.map((value, axis) => from[axis] - (from[axis] - value) * factor);
    this.scale *= factor;
    this.draw();
  }

  listen() {
    let held = null, moved = false;
    this.canvas.addEventListener("pointerdown", (event) => {
      held = [event.clientX - this.offset[0], event.clientY - this.offset[1]];
      moved = false;
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!held) return this.light(this.at(event));
      const next = [event.clientX - held[0], event.clientY - held[1]];
      moved ||= Math.hypot(next[0] - this.offset[0], next[1] - this.offset[1]) > 3;
      this.offset = next;
      this.draw();
    });
    this.canvas.addEventListener("pointerup", (event) => {
      held = null;
      const feature = moved ? null : this.at(event);
      if (feature) location.href = `${this.figure.dataset.items}/${encodeURIComponent(feature.id)}?f=html`;
    });
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = this.canvas.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => {
      const factor = { "+": 1.3, "=": 1.3, "-": 1 / 1.3 }[event.key];
      if (factor) this.zoom(factor);
      if (event.key === "0") this.fit();
    });
    addEventListener("resize", () => {
      const before = this.fitting;
      this.resize();
      this.zoom(this.fitting / before); // what was seen still is, as where a phone is turned
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }
}

for (const figure of document.querySelectorAll("figure.map")) {
  const answer = await fetch(figure.dataset.source, { headers: { Accept: "application/geo+json" } });
  const document_ = await answer.json();
  const features = document_.features ?? [document_];
  if (!features.some((feature) => feature.geometry)) {
    figure.hidden = true;
    figure.dataset.drawn = "0";
    continue;
  }
  const map = new CityMap(figure, features);
  const more = figure.querySelector("figcaption").dataset.more;
  if (more && document_.links?.some((link) => link.rel === "next")) {
    map.said = map.caption.textContent = more;
  }
}
