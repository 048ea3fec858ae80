// Hidden units: a grid of activations for each layer; a unit shows its weights and what it speaks for.

const MOST_UNITS = 1024; // squares in a grid

class Units {
  constructor(network, names, form) {
    Object.assign(this, { network, names, form, trace: null, unit: null });
    const hidden = network.layers.slice(0, -1);
    byId("units").hidden = !hidden.length;
    this.grids = hidden.map(({ outputs }, layer) => {
      const title = make("h3");
      const squares = Array.from({ length: Math.min(outputs, MOST_UNITS) }, (_, j) => {
        const square = make("button", { type: "button", title: `unit ${j + 1}`, "aria-label": `Layer ${layer + 1}, unit ${j + 1}`, "aria-pressed": "false", tabIndex: j ? -1 : 0 });
        square.addEventListener("click", () => this.choose(layer, j));
        return square;
      });
      const grid = make("div", { class: "grid", role: "group", "aria-label": `Units of hidden layer ${layer + 1}` }, squares);
      chooseWithArrows(grid, (j) => this.choose(layer, j));
      byId("grids").append(make("div", {}, title, grid));
      return { title, squares };
    });
    this.show(null);
  }

  choose(layer, j) {
    this.unit = { layer, j };
    this.show(this.trace);
  }

  show(trace) {
    this.trace = trace;
    if (trace && !this.unit && this.grids.length) this.unit = { layer: 0, j: topBy(trace.inputs[1].subarray(0, MOST_UNITS), 1)[0] };
    this.grids.forEach(({ title, squares }, layer) => {
      const values = trace?.inputs[layer + 1];
      const { outputs } = this.network.layers[layer];
      const active = values ? `, ${values.filter((value) => value > 0).length.toLocaleString("en")} of them above 0` : "";
      const shown = outputs > MOST_UNITS ? `; the first ${MOST_UNITS} are shown` : "";
      title.textContent = `Layer ${layer + 1}: ${count(outputs, "unit")}, ${activationName(this.network, layer)}${active}${shown}`;
      const color = divergingColors(values ? largestSize(values) : 1);
      squares.forEach((square, j) => {
        square.style.backgroundColor = values ? `rgb(${color(values[j]).join(" ")})` : "";
        square.setAttribute("aria-pressed", String(this.unit?.layer === layer && this.unit.j === j));
      });
    });
    if (this.unit && this.network.layers.length > 1) this.showUnit(this.unit);
    else byId("unit").replaceChildren();
  }

  showUnit({ layer, j }) {
    const { network, trace, form } = this;
    const { weight, bias, inputs, outputs } = network.layers[layer];
    const incoming = Float64Array.from({ length: inputs }, (_, i) => weight[i * outputs + j]);
    const parts = [make("h3", {}, `Layer ${layer + 1}, unit ${j + 1}`)];
    if (layer === 0 && form) {
      const picture = make("canvas", { class: "unit-picture", role: "img", "aria-label": "The unit's weights as a picture" });
      const largest = largestSize(incoming) || 1;
      const color = divergingColors(largest, colorOf("surface"));
      const isColored = form.channels === 3; // grey is 0 then, and the colors that excite are lighter
      const shade = (value) => Math.round(127.5 + (127.5 * value) / largest);
      paint(picture, form.height, form.width, (i) => (isColored ? bandsOf(incoming, i, 3).map(shade) : color(incoming[i])));
      const legend = [make("i", { class: "for" }), "excites", make("i", { class: "against" }), "inhibits"];
      parts.push(picture, make("p", { class: "quiet legend" }, isColored ? "Colors lighter than grey excite, darker ones inhibit." : legend));
    }
    if (trace) {
      const activation = trace.inputs[layer + 1][j];
      parts.push(make("p", {}, "z = ", number(trace.sums[layer][j]), `, a = ${activationName(network, layer)}(z) = `, make("strong", {}, number(activation))));
    } else {
      parts.push(make("p", { class: "quiet" }, `Bias ${number(bias[j])}`));
    }
    const list = (title, values, nameOf) => {
      const rows = topBy(values, 5, Math.abs).map((i) => [nameOf(i), number(values[i])]);
      parts.push(makeTable([title, "weight"], rows, { name: title }));
    };
    if (layer > 0) list("Strongest from", incoming, (i) => `layer ${layer}, unit ${i + 1}`);
    else if (!form) list("Strongest from", incoming, (i) => this.inputNames?.[i] ?? `input ${i + 1}`);
    const next = network.layers[layer + 1];
    const outgoing = next.weight.slice(j * next.outputs, (j + 1) * next.outputs);
    const isLast = layer + 2 === network.layers.length;
    const nameOf = (k) => (!isLast ? `layer ${layer + 2}, unit ${k + 1}` : network.task === "binary" ? this.names[1] : this.names[k]);
    list(isLast ? "Speaks for" : "Strongest to", outgoing, nameOf);
    byId("unit").replaceChildren(...parts);
  }
}
