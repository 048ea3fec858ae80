// Tables: a form made from the schema, the prediction, how each column alone moves it, and many rows at once.

const MOST_COLUMNS = 60; // in the form; of more, the others keep their values
const POINTS = 33; // of a response curve
const MOST_ROWS_SHOWN = 100;

function showRows({ network, exampleValues, ...description }, onInput) {
  const { columns, ranges, examples } = description;
  byId("table").hidden = false;
  const answer = new Answer(network, { best: byId("row-best"), second: byId("row-second"), bars: byId("row-bars") }, () => showResponses());
  const shown = columns.slice(0, MOST_COLUMNS);
  const limits = limitsOf(columns, ranges);
  const size = network.layers[0].inputs;
  const rows = examples.labels.map((_, index) => exampleValues.subarray(index * size, (index + 1) * size));
  const values = rows.length ? decodeRow(columns, rows[0]) : columns.map((column, index) => usualValue(column, limits[index]));
  const fields = shown.map((column, index) => makeField(column, limits[index], (value) => {
    values[index] = value;
    exampleButtons.forEach((button) => button.setAttribute("aria-pressed", "false"));
    update();
  }));
  const exampleButtons = [];
  const isEnsemble = network.members.length > 1 && network.task === "regression";
  let waiting = 0;
  let table = null;

  function update(label) {
    byId("row-second").classList.remove("problem");
    let input = null;
    let problem = "";
    try {
      input = encodeRow(columns, values);
    } catch (error) {
      problem = error.message;
    }
    const trace = input && forward(network, input);
    const spread = input && isEnsemble && spreadOf(network, input);
    answer.show(input && predict(network, input), { silence: problem, spread, truth: typeof label === "number" ? number(label) : label });
    onInput(input, trace, label);
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      showResponses();
      byId("spoken").textContent = input ? `${answer.best.textContent}: ${answer.second.textContent}` : problem;
    }, 60);
  }

  function showResponses() {
    const isNumber = network.task === "regression";
    byId("curves-of").textContent = isNumber ? `Shown: ${answer.names[answer.subject]}.` : `Shown: the probability of “${answer.names[answer.subject]}”. Choose another class above.`;
    let responses = [];
    try {
      responses = shown.map((column, index) => response(index, column));
    } catch {
      byId("responses").replaceChildren(); // a value is missing that must not be
      return;
    }
    const all = responses.flatMap(({ points }) => points.map(([, value]) => value));
    const range = isNumber ? [Math.min(...all), Math.max(...all)] : [0, 1];
    byId("responses").replaceChildren(...responses.map((each) => responseChart(each, range, isNumber)));
  }

  // Return the prediction for values of one column, all others as in the form.
  function response(index, column) {
    const at = (value) => predict(network, encodeRow(columns, values.with(index, value)))[answer.subject];
    const [low, high] = limits[index];
    const isContinuous = column.kind === "number" || column.kind === "date";
    const places = isContinuous ? Array.from(linspace(low, high, POINTS)) : column.kind === "boolean" ? [0, 1] : column.categories.slice(0, 24);
    return { column, isContinuous, limits: [low, high], points: places.map((place) => [place, at(place)]), now: [values[index], at(values[index])] };
  }

  function setRow(row, label) {
    decodeRow(columns, row).forEach((value, index) => {
      values[index] = value;
      fields[index]?.set(value);
    });
    update(label);
  }

  function showExamples() {
    examples.labels.forEach((label, index) => {
      const predicted = network.task === "regression" ? null : network.classes[argmax(predict(network, rows[index]))];
      const isMistake = predicted !== null && predicted !== String(label);
      const text = network.task === "regression" ? number(label) : `${visible(label)}${isMistake ? `, taken for ${visible(predicted)}` : ""}`;
      const button = make("button", { type: "button", class: "row-example", "aria-pressed": String(index === 0) }, text);
      button.addEventListener("click", () => {
        setRow(rows[index], label);
        exampleButtons.forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
      });
      exampleButtons.push(button);
    });
    byId("row-examples").hidden = !exampleButtons.length;
    byId("row-examples").append(...exampleButtons.slice(0, 12), ...exampleButtons.slice(12).filter((button) => button.textContent.includes("taken for")).slice(0, 6));
  }

  function predictText() {
    const text = byId("csv").value;
    byId("csv-problem").textContent = "";
    byId("csv-note").textContent = "";
    byId("predicted").replaceChildren();
    byId("download").hidden = true;
    try {
      table = predictRows(network, description, text);
    } catch (error) {
      byId("csv-problem").textContent = error.message;
      return;
    }
    const notes = [`${count(table.lines.length - table.skipped, "row")} predicted.`];
    if (table.skipped) notes.push(`${count(table.skipped, "row")} without a prediction: a value is missing that the network needs.`);
    notes.push(...table.notes);
    if (table.lines.length > MOST_ROWS_SHOWN) notes.push(`The first ${MOST_ROWS_SHOWN} are shown; the download has all.`);
    byId("csv-note").textContent = notes.join(" ");
    // The predictions come first: a wide table hides its last columns.
    const first = table.header.length - table.added;
    const reordered = (cells) => [...cells.slice(first), ...cells.slice(0, first)];
    const body = table.lines.slice(0, MOST_ROWS_SHOWN).map((cells) => reordered(cells.map((cell, place) => (place >= first && cell && Number.isFinite(Number(cell)) ? number(Number(cell)) : visible(cell)))));
    byId("predicted").replaceChildren(makeTable(reordered(table.header).map(visible), body, { name: "Predictions" }));
    byId("download").hidden = false;
  }

  byId("form").addEventListener("submit", (event) => event.preventDefault());
  byId("form").replaceChildren(...fields.map(({ element }) => element));
  if (columns.length > shown.length) byId("form").append(make("p", { class: "quiet" }, `${count(columns.length - shown.length, "more column")} keep their values; paste rows below to set all.`));
  byId("csv").placeholder = [columns.slice(0, 6), values.slice(0, 6)].map((cells, line) => cells.map((cell, index) => (line ? cellText(cell, columns[index]) : cell.name)).join(",") + (columns.length > 6 ? ",…" : "")).map(visible).join("\n");
  byId("predict-rows").addEventListener("click", predictText);
  const takeFile = async (file) => {
    byId("csv").value = await file.text();
    predictText();
  };
  acceptFiles(takeFile, "choose-csv", "csv-file", byId("csv"));
  byId("download").addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([toCsv([table.header, ...table.lines])], { type: "text/csv" }));
    make("a", { href: url, download: "predictions.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
  showExamples();
  fields.forEach(({ set }, index) => set(values[index]));
  update(examples.labels[0]);
  return { values, rows, update, setRow };
}

const cellText = (value, column) => (value === null ? "" : column.kind === "date" ? dateText(value, dateShape(column)) : column.kind === "boolean" ? String(value === 1) : String(value));

// Return the range of each column in training, where it is a number.
function limitsOf(columns, ranges) {
  let place = 0;
  const ends = [0, 1].map((end) => Float32Array.from({ length: sum(columns.map(inputsOf)) }, (_, i) => ranges?.[i]?.[end] ?? [-3, 3][end]));
  return columns.map((column) => {
    const [low, high] = ends.map((x) => {
      const part = x.slice(place, place + inputsOf(column));
      if (column.indicator) part[part.length - 1] = 0;
      return column.kind === "category" ? 0 : decodeRow([column], part)[0];
    });
    place += inputsOf(column);
    return high > low ? [low, high] : [low, low + 1];
  });
}

function usualValue(column, [low, high]) {
  if (column.kind === "category") return column.fill ?? column.categories[0];
  if (column.kind === "boolean") return column.fill ?? 0;
  return column.fill ?? (low + high) / 2;
}

// Return a field for a column: its element, and a function that sets its value.
function makeField(column, [low, high], change) {
  const name = visible(column.name);
  const id = `column-${makeField.count = (makeField.count ?? 0) + 1}`;
  const missing = column.fill === null ? null : make("input", { type: "checkbox", "aria-label": `${name} is missing` });
  const head = make("div", { class: "head" }, make("label", { htmlFor: id }, name), ...(missing ? [make("label", { class: "missing" }, missing, " missing")] : []));
  let controls;
  let read;
  let write;
  if (column.kind === "category" || column.kind === "boolean") {
    const choices = column.kind === "boolean" ? [["true", 1], ["false", 0]] : column.categories.map((category) => [visible(category), category]);
    const select = make("select", { id }, choices.map(([text], index) => make("option", { value: index }, text)));
    controls = [select];
    read = () => choices[Number(select.value)][1];
    write = (value) => (select.value = choices.findIndex(([, choice]) => choice === value));
  } else {
    const isDate = column.kind === "date";
    const shape = dateShape(column);
    const step = isDate ? (shape === "date" ? 1 : 1 / 1440) : column.whole ? 1 : 10 ** Math.floor(Math.log10((high - low) / 200));
    const slider = make("input", { type: "range", min: low, max: high, step, "aria-label": `${name}, slider` });
    const box = make("input", isDate ? { type: shape === "datetime" ? "datetime-local" : shape, id } : { type: "number", step: "any", id });
    slider.addEventListener("input", () => (box.value = isDate ? dateText(Number(slider.value), shape) : String(Number(Number(slider.value).toPrecision(12)))));
    box.addEventListener("input", () => (slider.value = isDate ? parseDate(box.value) ?? low : Number(box.value)));
    controls = [make("div", { class: `controls${isDate ? " dates" : ""}` }, slider, box)];
    read = () => (box.value === "" ? null : isDate ? parseDate(box.value) : Number(box.value));
    write = (value) => {
      slider.value = value;
      box.value = isDate ? dateText(value, shape) : String(value);
    };
  }
  const element = make("div", { class: "column" }, head, ...controls);
  const disable = () => controls.flatMap((control) => [control, ...control.children]).forEach((each) => "disabled" in each && (each.disabled = missing?.checked ?? false));
  element.addEventListener("input", () => {
    disable();
    change(missing?.checked ? null : read());
  });
  const set = (value) => {
    if (missing) missing.checked = value === null;
    if (value !== null) write(value);
    disable();
  };
  return { element, set };
}

// A small chart of a column's response, with the present value marked.
function responseChart({ column, isContinuous, limits: [low, high], points, now }, [bottom, top], isNumber) {
  const [width, height, left, foot] = [220, 110, isNumber ? 54 : 34, 16];
  const y = (value) => 6 + ((height - foot - 12) * (top - value)) / (top - bottom || 1);
  const format = isNumber ? (value) => number(value, 3) : (value) => `${Math.round(100 * value)} %`;
  const values = points.map(([, value]) => value);
  const name = visible(column.name);
  const label = `${name}: from ${format(Math.min(...values))} to ${format(Math.max(...values))}, now ${format(now[1])}`;
  const chart = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  [bottom, top].forEach((value) => chart.append(draw("line", { class: "axis", x1: left, x2: width, y1: y(value), y2: y(value) }), draw("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, format(value))));
  if (isContinuous) {
    const x = (value) => left + 4 + ((width - left - 8) * (Math.min(Math.max(value, low), high) - low)) / (high - low);
    chart.append(draw("polyline", { class: "line", points: points.map(([place, value]) => `${x(place)},${y(value)}`).join(" ") }));
    const text = (value) => (column.kind === "date" ? dateText(value, dateShape(column) === "time" ? "time" : "date") : number(value, 3));
    chart.append(draw("text", { x: left, y: height - 2 }, text(low)), draw("text", { x: width, y: height - 2, "text-anchor": "end" }, text(high)));
    if (now[0] !== null) chart.append(draw("circle", { class: "dot", cx: x(now[0]), cy: y(now[1]), r: 4 }));
  } else {
    const step = (width - left - 8) / points.length;
    points.forEach(([place, value], index) => {
      const isNow = place === now[0];
      const [from, to] = [y(Math.max(bottom, Math.min(0, top))), y(value)];
      const bar = draw("rect", { class: isNow ? "accent" : "bar-fill", x: left + 4 + index * step + step * 0.15, width: step * 0.7, y: Math.min(from, to), height: Math.max(Math.abs(from - to), 1.5) });
      const text = column.kind === "boolean" ? String(place === 1) : visible(place);
      bar.append(draw("title", {}, `${text}: ${format(value)}`));
      chart.append(bar);
      const room = Math.floor((step - 4) / 6);
      if (room >= 3) chart.append(draw("text", { x: left + 4 + (index + 0.5) * step, y: height - 2, "text-anchor": "middle" }, text.length > room ? `${text.slice(0, room - 1)}…` : text));
    });
  }
  return make("figure", {}, make("h3", {}, name), chart);
}
