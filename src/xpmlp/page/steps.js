// One step by hand: the forward pass in numbers, the loss of a label, and one step of gradient descent. Unless the viewer
// sets the learning rate, it is one at which the loss would halve if it were linear.

const MOST_TERMS = 8;
const MOST_OUTPUTS = 12;

class Steps {
  constructor(network, names, inputNames) {
    Object.assign(this, { original: network, network, names, inputNames, rate: 0.1, isOwnRate: false, input: null, label: null, losses: [], unit: null });
    const { levels } = lossOf(network);
    [this.group, this.middle] = [levels?.length ?? 1, middleOf(levels ?? [0.5])];
    byId("steps").hidden = false;
    this.controls = this.makeControls();
    this.show(null);
  }

  makeControls() {
    const { task } = this.original;
    const refresh = () => this.render();
    const rate = make("input", { type: "number", min: "0", step: "any", value: this.rate, id: "rate" });
    rate.addEventListener("input", () => {
      this.rate = Number(rate.value);
      this.isOwnRate = true;
      refresh();
    });
    const take = make("button", { type: "button", class: "main", id: "take-step" }, "Take one step");
    const reset = make("button", { type: "button", id: "reset-steps" }, "Reset");
    take.addEventListener("click", () => this.take());
    reset.addEventListener("click", () => this.restart());
    let labels;
    if (task === "regression") {
      // Quantiles are several outputs for one target.
      labels = this.names.filter((_, k) => k % this.group === 0).map((name, k) => {
        const box = make("input", { type: "number", step: "any", "aria-label": `True value of ${name}` });
        box.addEventListener("input", () => {
          this.label[k] = Number(box.value);
          this.restart();
        });
        return box;
      });
    } else {
      const multiple = task === "multilabel";
      const select = make("select", { multiple, id: "label", "aria-label": "True class" }, this.names.map((name, k) => make("option", { value: k }, name)));
      select.addEventListener("change", () => {
        this.label = multiple ? this.names.map((_, k) => select.options[k].selected) : Number(select.value);
        this.restart();
      });
      labels = [select];
    }
    const unit = make("select", { "aria-label": "Unit whose sum is shown" });
    unit.addEventListener("change", () => {
      this.unit = Number(unit.value);
      refresh();
    });
    return { rate, take, reset, labels, unit };
  }

  // Show the steps for a new input, with the label that is known or else the network's own answer.
  show(input, label) {
    this.input = input;
    this.unit = null;
    if (input) {
      const output = predict(this.original, input);
      const { task } = this.original;
      if (task === "regression") this.label = label === undefined ? output.filter((_, k) => k % this.group === this.middle) : Float64Array.of(label);
      else if (task === "multilabel") this.label = Array.from(output, (value) => value > 0.5);
      else this.label = Math.max(this.original.classes.indexOf(label), -1) >= 0 ? this.original.classes.indexOf(label) : argmax(output);
      this.controls.labels.forEach((control, k) => {
        if (task === "regression") control.value = Number(this.label[k].toPrecision(5));
        else if (task === "multilabel") [...control.options].forEach((option, j) => (option.selected = this.label[j]));
        else control.value = this.label;
      });
    }
    this.restart();
  }

  restart() {
    this.network = this.original;
    this.losses = [];
    if (this.input && !this.isOwnRate) {
      const state = this.compute(this.network);
      this.rate = Number(((0.5 * state.loss) / squaresOf(state)).toPrecision(1)) || 0.1;
      this.controls.rate.value = this.rate;
    }
    this.render();
  }

  // Return everything that one forward and backward pass computes.
  compute(network) {
    const targets = targetsOf(network, this.label);
    const trace = forward(network, this.input);
    const loss = lossOf(network);
    const gradient = loss.gradient(trace.logits, targets);
    return { trace, targets, loss: loss.value(trace.logits, targets), gradient, back: backward(network, trace, gradient), output: loss.predict(trace.logits) };
  }

  take() {
    const { trace, back, loss } = this.compute(this.network);
    this.losses.push(loss);
    this.network = step(this.network, trace, back, this.rate);
    this.render();
  }

  render() {
    const content = byId("step-content");
    if (!this.input) {
      content.replaceChildren(make("p", { class: "quiet" }, "Draw something, or choose an example, to see its numbers."));
      return;
    }
    const focused = document.activeElement;
    const state = this.compute(this.network);
    const { layers } = this.network;
    const cards = layers.slice(0, -1).map((_, index) => (index === 0 ? this.firstLayer(state) : this.hiddenLayer(state, index)));
    const halves = [cards, [this.outputCard(state), this.stepCard(state)]].filter((half) => half.length);
    content.replaceChildren(...halves.map((half) => make("div", {}, half)));
    if (content.contains(focused)) focused.focus();
  }

  // What the input x is, in words.
  describeInput() {
    const nonzero = this.input.filter((value) => value !== 0).length;
    const what = this.shape ? `the ${this.shape.rows} × ${this.shape.columns} pixels of the prepared picture, row by row${this.shape.channels === 3 ? ", each red, green and blue" : ""}` : "the prepared row, numbers scaled and categories as 0 and 1";
    return make("p", { class: "quiet" }, `x is ${what}: ${count(this.input.length, "number")}, ${nonzero.toLocaleString("en")} of them not 0.`);
  }

  nameInput(i) {
    if (this.inputNames) return this.inputNames[i];
    if (!this.shape) return `x${i + 1}`;
    const { columns, channels } = this.shape;
    const pixel = Math.floor(i / channels);
    const color = channels === 3 ? ` ${["red", "green", "blue"][i % 3]}` : "";
    return `(${Math.floor(pixel / columns) + 1}, ${(pixel % columns) + 1})${color}`;
  }

  // One unit's sum term by term, with the gradient of each weight.
  unitCard(title, equation, { trace, back }, index, j, choice) {
    const { weight, bias, outputs } = this.network.layers[index];
    const x = trace.inputs[index];
    const terms = Float64Array.from(x, (value, i) => value * weight[i * outputs + j]);
    const shown = topBy(terms, MOST_TERMS, Math.abs).filter((i) => terms[i] !== 0);
    const slope = back.atSums[index][j];
    const nameOf = (i) => (index === 0 ? this.nameInput(i) : `unit ${i + 1}`);
    const rows = shown.map((i) => [nameOf(i), number(x[i], 3), number(weight[i * outputs + j], 3), number(terms[i], 3), number(x[i] * slope, 2)]);
    const rest = sum(terms) - sum(shown.map((i) => terms[i]));
    const others = terms.filter((term) => term !== 0).length - shown.length;
    if (others > 0) rows.push([`${others.toLocaleString("en")} more`, "", "", number(rest, 3), ""]);
    rows.push(["bias", "", "", number(bias[j], 3), number(slope, 2)]);
    rows.push(["z", "", "", number(trace.sums[index][j], 4), ""]);
    return make("div", { class: "card" }, make("h3", {}, title), make("p", { class: "equation" }, ...equation), ...choice,
      scrolling(title, makeTable([index === 0 && this.shape ? "pixel (row, column)" : "input", "x", "w", "x · w", "∂L/∂w"], rows, { name: title, total: true })));
  }

  firstLayer(state) {
    const { unit } = this.controls;
    const activations = state.trace.inputs[1];
    if (this.unit === null || !unit.options.length) {
      this.unit = topBy(activations, 1, Math.abs)[0];
      unit.replaceChildren(...topBy(activations, 200, Math.abs).map((j) => make("option", { value: j }, `unit ${j + 1}`)));
      unit.value = this.unit;
    }
    const { equation } = activationOf(this.network, 0);
    const text = [...subscripted("z", 1), " = x ", ...subscripted("W", 1), " + ", ...subscripted("b", 1)];
    const j = this.unit;
    const [a, atA, atZ] = [activations[j], state.back.atInputs[1][j], state.back.atSums[0][j]];
    const card = this.unitCard("Hidden layer 1", text, state, 0, j, [this.describeInput(), make("label", { class: "field" }, "Unit ", unit)]);
    card.append(
      make("p", { class: "equation" }, ...subscripted("a", 1), ` = σ(z) = ${equation} = ${number(a)}`),
      make("p", { class: "equation" }, `∂L/∂a = ${number(atA, 3)}, ∂L/∂z = ∂L/∂a · σ′(z) = ${number(atZ, 3)}`),
    );
    return card;
  }

  hiddenLayer(state, index) {
    const j = topBy(state.trace.inputs[index + 1], 1, Math.abs)[0];
    const text = [...subscripted("z", index + 1), " = ", ...subscripted("a", index), " ", ...subscripted("W", index + 1), " + ", ...subscripted("b", index + 1)];
    const card = this.unitCard(`Hidden layer ${index + 1}, unit ${j + 1}`, text, state, index, j, []);
    card.append(make("p", { class: "equation" }, ...subscripted("a", index + 1), ` = σ(z) = ${number(state.trace.inputs[index + 1][j])}`));
    return card;
  }

  outputCard({ trace, targets, output, gradient }) {
    const { task, layers } = this.network;
    const targetOf = (k) => targets[Math.floor(k / this.group)];
    const last = layers.length;
    const names = task === "binary" ? [this.names[1]] : this.names;
    const shown = names.length > MOST_OUTPUTS ? [...new Set([...topBy(output, MOST_OUTPUTS - 1), argmax(targets)])] : names.map((_, k) => k);
    const rows = shown.map((k) => {
      const cells = [names[k], number(trace.logits[k]), number(output[k]), number(targetOf(k)), number(gradient[k], 3)];
      cells.class = task !== "regression" && targets[k] === 1 ? "chosen" : "";
      return cells;
    });
    const input = last > 1 ? subscripted("a", last - 1) : ["x"];
    return make("div", { class: "card" }, make("h3", {}, "Output"),
      make("p", { class: "equation" }, ...subscripted("z", last), " = ", ...input, " ", ...subscripted("W", last), " + ", ...subscripted("b", last)),
      make("p", { class: "equation" }, lossOf(this.network).prediction),
      scrolling("Output", makeTable([task === "regression" ? "output" : "class", "z", "ŷ", "y", "∂L/∂z"], rows, { name: "Output" })));
  }

  stepCard({ loss, back, trace, output }) {
    const { rate, take, reset, labels } = this.controls;
    const { slope, equation } = lossOf(this.network);
    const after = this.losses.length ? null : this.compute(step(this.network, trace, back, this.rate)).loss;
    reset.disabled = !this.losses.length;
    const history = [...this.losses, loss].map((value) => number(value, 4));
    const outcome = this.losses.length
      ? [`After ${count(this.losses.length, "step")} the loss went `, make("strong", { id: "losses" }, history.slice(-6).join(" → ")), "."]
      : ["The loss is ", make("strong", { id: "loss" }, number(loss)), "; one step brings it to ", make("strong", { id: "loss-after" }, number(after)),
        `. The gradient alone foretells a change of ${number(-this.rate * squaresOf({ back, trace }), 3)}.`];
    const truth = this.network.task === "regression" ? "True value " : "True class ";
    const shown = this.network.task === "regression" ? number(output[this.middle]) : percent(predict(this.network, this.input)[this.network.task === "multilabel" ? 0 : this.label]);
    const now = this.network.task === "multilabel" ? [] : [make("p", { class: "quiet" }, this.network.task === "regression" ? `The prediction is now ${shown}.` : `The true class now has ${shown}.`)];
    return make("div", { class: "card" }, make("h3", {}, "Backward, and one step"),
      make("p", { class: "equation" }, equation), make("p", { class: "equation" }, slope),
      make("p", { class: "equation" }, "W ← W − η ∂L/∂W, ", "b ← b − η ∂L/∂b"),
      make("div", { class: "field" }, truth, ...labels), make("label", { class: "field" }, "Learning rate η ", rate),
      make("p", { class: "outcome" }, ...outcome), ...now, make("div", { class: "tools" }, take, reset));
  }
}

// ‖∂L/∂W‖² + ‖∂L/∂b‖² over all layers: how fast the loss falls along the gradient.
const squaresOf = ({ back, trace }) =>
  sum(back.atSums.map((gradient, index) => (sum(trace.inputs[index].map((x) => x * x)) + 1) * sum(gradient.map((slope) => slope * slope))));

const subscripted = (letter, index) => [letter, make("sub", {}, String(index))];
