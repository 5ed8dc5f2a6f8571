// A proposal: what is done to which building, what is built on which parcel. The fields of an action are those that the
// schema of the process has for it.

import { element } from "./planner-result.js";

const MAKES = /^new_/; // actions on a parcel; the others are on a building
const shapes = { Polygon: "Polygon", Point: "Point", LineString: "LineString" };

export class Proposal {
  // `draw(kind)` has the user draw a geometry; `changed(interventions)` is told of every change.
  constructor(list, words, draw, changed) {
    Object.assign(this, { list, words, draw, changed, interventions: [], names: new Map(), actions: new Map() });
  }

  // Take the actions and their parameters from the input `proposal` of a process.
  learn(schema) {
    const { properties, allOf } = schema.properties.interventions.items;
    this.actions = new Map(properties.action.enum.map((action) => {
      const found = allOf.find((one) => one.if.properties.action.const === action);
      return [action, found.then.properties.params];
    }));
  }

  // A form that adds an intervention on an object.
  form(type, code, name) {
    const offered = [...this.actions.keys()].filter((action) => MAKES.test(action) === (type === "parcel"));
    const asked = element("select", {}, ...offered.map((action) => element("option", { value: action }, this.#said(action))));
    const fields = element("div", {});
    const add = element("button", { type: "button", class: "button" }, this.words.add);
    const show = () => fields.replaceChildren(...this.#fields(asked.value));
    asked.addEventListener("change", show);
    add.addEventListener("click", () => this.#add(code, name, asked.value, fields));
    show();
    return element("details", { class: "intervene" }, element("summary", {}, this.words.intervene), asked, fields, add);
  }

  #said(action) {
    return this.words.actions[action] ?? action.replaceAll("_", " ");
  }

  #fields(action) {
    const { properties, required } = this.actions.get(action);
    const order = Object.entries(properties).filter(([name]) => name !== "geometry");
    order.sort(([a], [b]) => required.includes(b) - required.includes(a));
    return order.map(([name, schema]) => {
      let control = element("input", { type: ["integer", "number"].includes(schema.type) ? "number" : "text" });
      if (schema.enum) control = element("select", {}, element("option", { value: "" }), ...schema.enum.map((value) => element("option", {}, value)));
      if (schema.type === "boolean") control = element("input", { type: "checkbox" });
      if (schema.type === "number") control.step = "any";
      control.dataset.name = name;
      control.required = required.includes(name);
      const unit = schema["x-ogc-unit"] ? ` [${schema["x-ogc-unit"].replace("m2", "m²")}]` : "";
      return element("label", {}, name.replaceAll("_", " ") + unit, control);
    });
  }

  async #add(target, name, action, fields) {
    const params = {};
    for (const control of fields.querySelectorAll("[data-name]")) {
      if (!control.reportValidity()) return;
      if (control.type === "checkbox") { if (control.checked) params[control.dataset.name] = true; }
      else if (control.value !== "") params[control.dataset.name] = control.type === "number" ? Number(control.value) : control.value;
    }
    const { properties, required } = this.actions.get(action);
    if (required.includes("geometry")) {
      const kind = properties.geometry.properties.type.enum.find((one) => one in shapes);
      const geometry = await this.draw(kind);
      if (geometry === null) return;
      params.geometry = geometry;
    }
    const one = { target, action, ...(Object.keys(params).length ? { params } : {}) };
    if (MAKES.test(action)) one.id = `${action}-${this.interventions.length + 1}`;
    // One action per target: a later one takes the place of the one before.
    else this.interventions = this.interventions.filter((other) => other.target !== target || MAKES.test(other.action));
    this.interventions.push(one);
    this.names.set(target, name);
    this.#show();
  }

  #show() {
    this.list.replaceChildren(...this.interventions.map((one) => {
      const drop = element("button", { type: "button", title: this.words.drop, "aria-label": this.words.drop }, "×");
      drop.addEventListener("click", () => {
        this.interventions = this.interventions.filter((other) => other !== one);
        this.#show();
      });
      return element("li", {}, `${this.#said(one.action)}: ${this.names.get(one.target) ?? one.target} `, drop);
    }));
    this.changed(this.interventions);
  }
}
