// The network's answer: the likeliest class and a bar for each, or the predicted numbers.

const MOST_BARS = 12; // of more classes, the likeliest are shown

// Return which of some quantiles is closest to the median.
const middleOf = (levels) => topBy(levels, 1, (level) => -Math.abs(level - 0.5))[0];

class Answer {
  // `choose` is called with the class that the viewer chooses, or null to follow the likeliest.
  constructor(network, { best, second, bars }, choose) {
    Object.assign(this, { network, best, second, bars, choose, chosen: null, order: [] });
    this.names = (network.task === "regression" ? network.output_names : network.classes).map(visible);
    const rows = Math.min(this.names.length, MOST_BARS);
    this.rows = Array.from({ length: rows }, (_, place) => {
      const fill = make("i");
      const [name, share] = [make("span", { class: "name" }), make("span", { class: "percent" })];
      const row = make("button", { type: "button", class: "bar", role: "radio", "aria-checked": "false" }, name, make("span", { class: "track" }, fill), share);
      row.addEventListener("click", () => this.toggle(this.order[place]));
      return { row, name, fill, share };
    });
    bars.classList.toggle("named", this.names.some((name) => name.length > 2));
    bars.hidden = network.task === "regression" && rows === 1;
    bars.replaceChildren(...this.rows.map(({ row }) => row));
    chooseWithArrows(bars, (place) => this.select(this.order[place]));
    this.show(null);
  }

  toggle(index) {
    this.select(this.chosen === index ? null : index);
  }

  select(index) {
    this.chosen = index;
    this.show(this.output, { truth: this.truth, spread: this.spread });
    this.choose();
  }

  // The class or output that is chosen, else the likeliest; of quantiles, the one in the middle.
  get subject() {
    if (this.network.task === "regression") return this.chosen ?? middleOf(lossOf(this.network).levels ?? [0.5]);
    return this.chosen ?? (this.output ? argmax(this.output) : 0);
  }

  // Show an output, and the truth where it is known.
  show(output, { silence = "Nothing is drawn yet.", truth, spread } = {}) {
    Object.assign(this, { output, truth, spread });
    const { task } = this.network;
    const values = output ?? new Float64Array(this.names.length);
    this.order = this.names.length > MOST_BARS && task !== "regression" ? topBy(values, MOST_BARS) : values.length ? Array.from(this.rows, (_, i) => i) : [];
    const likeliest = output && task !== "regression" ? argmax(output) : -1;
    this.rows.forEach(({ row, name, fill, share }, place) => {
      const index = this.order[place];
      const isChosen = index === this.subject;
      setText(name, (name.title = this.names[index]));
      share.textContent = !output ? "" : task === "regression" ? number(values[index]) : percent(values[index]);
      fill.style.width = task === "regression" ? "0" : `${100 * values[index]}%`;
      row.classList.toggle("likeliest", task === "multilabel" ? values[index] > 0.5 : index === likeliest);
      row.setAttribute("aria-checked", String(isChosen));
      row.tabIndex = isChosen || (place === 0 && !this.order.includes(this.subject)) ? 0 : -1;
    });
    const [answer, comment] = output ? this.inWords(output) : ["–", silence];
    this.best.textContent = answer;
    this.second.textContent = truth === undefined ? comment : `${comment}. In the test set: ${visible(truth)}.`;
    this.best.parentElement.classList.toggle("long", this.best.textContent.length > 12);
  }

  // Return the answer and what comes next, in words.
  inWords(output) {
    const { task } = this.network;
    const { levels } = lossOf(this.network);
    if (levels?.length === output.length && output.length > 1) {
      const share = Math.round(100 * (levels.at(-1) - levels[0]));
      return [number(output[this.subject], 5), `${share} % of such rows between ${number(output[0])} and ${number(output.at(-1))}`];
    }
    if (task === "regression") {
      const names = this.names.length > 1 ? this.names[this.subject] : this.names[0];
      const spread = this.spread ? `, ± ${number(this.spread[this.subject], 2)} between the ${this.network.members.length} networks` : "";
      return [number(output[this.subject], 5), names + spread];
    }
    if (task === "multilabel") {
      const present = this.names.filter((_, index) => output[index] > 0.5);
      return [present.join(", ") || "none", `${present.length} of ${count(this.names.length, "label")}`];
    }
    const [first, next] = topBy(output, 2);
    return [this.names[first], `${percent(output[first])}, next ${this.names[next]} with ${percent(output[next])}`];
  }
}
