// Read what the page holds, and show it.

// Return the networks of a description, with their weights: the members of an ensemble, or one.
function readNetworks(description, arrays) {
  return Array.from({ length: description.members }, (_, member) => {
    const layers = description.layers.map(({ inputs, outputs }, index) => {
      const part = (start, size) => arrays[index].subarray(start + member * size, start + (member + 1) * size);
      return { inputs, outputs, weight: part(0, inputs * outputs), bias: part(description.members * inputs * outputs, outputs) };
    });
    return { ...description, layers, members: null };
  });
}

async function start() {
  const description = JSON.parse(byId("description").textContent);
  const arrays = await readArrays(byId("arrays").textContent, description.arrays);
  const members = readNetworks(description.network, arrays);
  const network = { ...members[0], members };
  const { form, columns } = description;
  const names = (network.task === "regression" ? network.output_names : network.classes).map(visible);
  byId("summary").textContent = visible(description.summary);
  byId("problem").hidden = true;
  document.documentElement.lang = "en";

  const inputNames = columns && inputNamesOf(columns);
  const units = new Units(members[0], names, form);
  const steps = new Steps(members[0], names, inputNames);
  if (members.length > 1) ["units", "steps"].forEach((id) => byId(id).querySelector("p").append(` Shown: the first of the ${members.length} networks.`));
  units.inputNames = inputNames;
  if (form) steps.shape = { rows: form.height, columns: form.width, channels: form.channels ?? 1 };
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
