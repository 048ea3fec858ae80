// The network and its training: architecture, curves, confusion, and how and when it was trained.

function showAbout({ network, facts, history, report }) {
  byId("about").hidden = false;
  const column = make("div", {}, architecture(network), factList(facts));
  const columns = [column];
  if (history.length) columns.push(make("div", {}, curves(history, "Loss", [["train_loss", "training"], ["test_loss", "test"]])));
  if (history.some((row) => row.test_accuracy !== null)) columns.push(make("div", {}, curves(history, "Test accuracy", [["test_accuracy", "test"]], percent)));
  if (report?.confusion) columns.push(confusion(report, network.classes.map(visible)));
  byId("about-content").replaceChildren(...columns);
}

function architecture({ layers, activation, loss, members }) {
  const box = (size, what) => make("span", { class: "layer" }, make("b", {}, size.toLocaleString("en")), what);
  const parts = [box(layers[0].inputs, "inputs")];
  layers.forEach(({ inputs, outputs }, index) => {
    const isLast = index === layers.length - 1;
    parts.push(make("span", { class: "link" }, `${((inputs + 1) * outputs).toLocaleString("en")} →`), box(outputs, isLast ? (outputs === 1 ? "output" : "outputs") : activationName({ activation }, index)));
  });
  const weights = sum(layers.map(({ inputs, outputs }) => (inputs + 1) * outputs));
  return make("div", {}, make("h3", {}, `Layers, ${weights.toLocaleString("en")} parameters${members.length > 1 ? ` × ${members.length} networks, whose predictions are averaged` : ""}`), make("div", { class: "architecture" }, parts),
    make("p", { class: "quiet" }, `Loss: ${loss.replaceAll("_", " ")}`));
}

function factList(facts) {
  return make("div", {}, make("h3", {}, "How it was trained"), make("dl", {}, facts.flatMap(([name, value]) => [make("dt", {}, visible(name)), make("dd", {}, visible(value))])));
}

// Return ticks of a nice distance from low to high.
function ticksOf(low, high, most) {
  const rough = (high - low) / most || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const distance = size * [1, 2, 5, 10].find((factor) => factor * size >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / distance - 1e-9) * distance; tick <= high + 1e-9 * distance; tick += distance) ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

// A line chart of some of the history's columns.
function curves(history, title, series, format = (value) => number(value, 3)) {
  const [width, height, left, right, top, bottom] = [420, 200, 48, 60, 8, 22];
  const known = series.map(([key, name]) => [name, history.filter((row) => row[key] !== null && Number.isFinite(row[key])).map((row) => [row.epoch, row[key]])]).filter(([, points]) => points.length);
  const values = known.flatMap(([, points]) => points.map(([, value]) => value));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [history[0].epoch, history.at(-1).epoch];
  const x = (epoch) => left + ((width - left - right) * (epoch - first)) / (last - first || 1);
  const y = (value) => top + ((height - top - bottom) * (high - value)) / (high - low || 1);
  const chart = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} by epoch, at the end ${known.map(([name, points]) => `${name} ${format(points.at(-1)[1])}`).join(", ")}` });
  ticksOf(low, high, 4).forEach((tick) => chart.append(draw("line", { class: "axis", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }), draw("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, format(tick))));
  ticksOf(first, last, 5).filter(Number.isInteger).forEach((tick) => chart.append(draw("text", { x: x(tick), y: height - 4, "text-anchor": "middle" }, String(tick))));
  const ends = known.map(([, points]) => y(points.at(-1)[1]));
  if (ends.length === 2 && Math.abs(ends[0] - ends[1]) < 12) {
    const middle = (ends[0] + ends[1]) / 2;
    [ends[0], ends[1]] = ends[0] <= ends[1] ? [middle - 6, middle + 6] : [middle + 6, middle - 6];
  }
  known.forEach(([name, points], index) => {
    const other = index === 0 && known.length > 1 ? " other" : "";
    chart.append(draw("polyline", { class: `line${other}`, points: points.map(([epoch, value]) => `${x(epoch)},${y(value)}`).join(" ") }),
      draw("text", { class: other ? "other-text" : "accent", x: x(points.at(-1)[0]) + 6, y: ends[index] + 4 }, name));
  });
  return make("figure", {}, make("h3", {}, `${title} by epoch`), chart);
}

// The confusion matrix; of many classes, the most frequent mistakes.
function confusion({ confusion: matrix }, names) {
  const most = Math.max(...matrix.flatMap((row, truth) => row.filter((_, predicted) => predicted !== truth)), 1);
  const title = make("h3", {}, "True class (down) and predicted class (across), test rows");
  if (names.length > 20) {
    const mistakes = matrix.flatMap((row, truth) => row.map((rows, predicted) => ({ truth, predicted, rows }))).filter(({ truth, predicted, rows }) => truth !== predicted && rows);
    mistakes.sort((a, b) => b.rows - a.rows);
    return make("div", {}, make("h3", {}, "Most frequent mistakes in the test rows"),
      makeTable(["true", "predicted", "rows"], mistakes.slice(0, 12).map(({ truth, predicted, rows }) => [names[truth], names[predicted], rows.toLocaleString("en")]), { name: "Mistakes" }));
  }
  const [good, bad, plain] = [colorOf("fill"), colorOf("against"), colorOf("surface")];
  const shade = (rows, isRight) => {
    const [end, share] = isRight ? [good, rows ? 1 : 0] : [bad, 0.75 * Math.sqrt(rows / most)];
    return `rgb(${plain.map((from, band) => Math.round(from + (end[band] - from) * share)).join(" ")})`;
  };
  const body = matrix.map((row, truth) => make("tr", {}, make("th", { scope: "row" }, names[truth]), row.map((rows, predicted) => {
    const cell = make("td", {}, rows ? rows.toLocaleString("en") : "");
    cell.style.backgroundColor = shade(rows, truth === predicted);
    return cell;
  })));
  const head = make("tr", {}, make("td"), names.map((name) => make("th", { scope: "col" }, name)));
  return make("div", {}, title, scrolling("Confusion matrix", make("table", { class: "confusion" }, make("thead", {}, head), make("tbody", {}, body))));
}
