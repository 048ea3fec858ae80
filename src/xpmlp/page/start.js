// Read what the page holds, and show it.

// Return the network of a description, with its weights.
function readNetwork(description, arrays) {
  const layers = description.layers.map(({ inputs, outputs }, index) => {
    const values = arrays[index];
    return { inputs, outputs, weight: values.subarray(0, inputs * outputs), bias: values.subarray(inputs * outputs) };
  });
  return { ...description, layers };
}

async function start() {
  const description = JSON.parse(byId("description").textContent);
  const arrays = await readArrays(byId("arrays").textContent, description.arrays);
  const network = readNetwork(description.network, arrays);
  const { form, columns } = description;
  const names = (network.task === "regression" ? network.output_names : network.classes).map(visible);
  byId("summary").textContent = visible(description.summary);
  byId("problem").hidden = true;
  document.documentElement.lang = "en";

  const inputNames = columns && inputNamesOf(columns);
  const units = new Units(network, names, form);
  const steps = new Steps(network, names, inputNames);
  units.inputNames = inputNames;
  if (form) steps.shape = { rows: form.height, columns: form.width };
  let [latest, due, resting] = [null, 0, 0];
  const onInput = (input, trace, label) => {
    latest = trace;
    due ||= setTimeout(() => {
      due = 0;
      units.show(latest);
    }, 40); // after the stroke's frame
    clearTimeout(resting); // the steps are read, not drawn with: they follow when the hand rests
    resting = setTimeout(() => steps.show(input, label), 120);
  };
  if (form) page.pad = showPictures({ network, form, examples: { ...description.examples, values: arrays.at(-1) } }, onInput);
  else page.form = showRows({ ...description, network, exampleValues: arrays.at(-1) }, onInput);
  showAbout({ ...description, network });
  Object.assign(page, { network, description, units, steps, isReady: true });
}

// For the console: page.network, predict(page.network, input), prepare(pixels, page.description.form).
const page = {};
start().catch((error) => {
  const problem = byId("problem");
  problem.hidden = false;
  problem.textContent = `This page cannot be shown: ${error.message}. Open it in a recent browser; if that does not help, export the page again.`;
});
