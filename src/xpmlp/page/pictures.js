// Pictures: the drawing area, what the network sees, its answer, what speaks for it, and examples.

function showPictures({ network, form, examples }, onInput) {
  byId("drawing").hidden = false;
  const elements = { best: byId("best"), second: byId("second"), bars: byId("bars") };
  const answer = new Answer(network, elements, () => paintSeen());
  const pad = new Pad(byId("pad"), form, () => update());
  const buttons = [];
  const channels = form.channels ?? 1;
  let trace = null;
  let speaking = 0;

  function update() {
    const { items } = pad;
    const input = pad.input;
    trace = input && forward(network, input);
    byId("hint").hidden = items.length > 0;
    byId("undo").disabled = byId("clear").disabled = !items.length;
    byId("picture-problem").textContent = "";
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(items.at(-1)?.button === button)));
    const silence = items.length ? "Nothing stands out from the background." : undefined;
    answer.show(input && predict(network, input), { silence, truth: items.at(-1)?.label });
    paintSeen();
    onInput(input, trace, items.at(-1)?.label);
    clearTimeout(speaking);
    speaking = setTimeout(() => (byId("spoken").textContent = input ? `${answer.best.textContent}: ${answer.second.textContent}` : ""), 600);
  }

  function paintSeen() {
    const wantsOverlay = byId("overlay").checked;
    const subject = network.task === "regression" ? answer.names[answer.subject] : `“${answer.names[answer.subject]}”`;
    setText(byId("overlay-class"), subject);
    byId("legend").hidden = !wantsOverlay;
    const input = trace?.inputs[0];
    const blank = form.background === "dark" ? 0 : 255;
    let colorAt = (i) => (input ? bandsOf(input, i, channels).map((value) => Math.round(255 * value)) : [blank, blank, blank]);
    if (wantsOverlay && trace) {
      const all = contributions(network, input, answer.subject);
      const parts = Float64Array.from({ length: form.height * form.width }, (_, i) => sum(all.slice(i * channels, (i + 1) * channels)));
      const grey = (i) => sum(bandsOf(input, i, channels)) * 85;
      const color = divergingColors(largestSize(parts), [0, 0, 0]);
      const largest = largestSize(parts) || 1;
      colorAt = (i) => {
        const share = Math.sqrt(Math.abs(parts[i]) / largest);
        const tint = color(Math.sign(parts[i]) * largest);
        return tint.map((value) => Math.round(value * share + 0.35 * grey(i) * (1 - share)));
      };
    }
    paint(byId("seen"), form.height, form.width, colorAt);
  }

  async function showFile(file) {
    try {
      const { canvas, pixels } = await readPicture(file);
      const input = prepare(pixels, form);
      if (input === null) throw new Error("The picture is blank: nothing stands out from its background. Draw darker, or crop it to the drawing.");
      pad.place(canvas, input, true);
    } catch (error) {
      byId("picture-problem").textContent = error.message;
    }
  }

  function showExamples() {
    const size = form.height * form.width * channels;
    const groups = [["From the test set", []], ["Its mistakes in the test set", []]];
    examples.labels.forEach((label, index) => {
      const input = new Float32Array(size).map((_, i) => examples.values[index * size + i] / examples.scale);
      const predicted = network.task === "regression" ? null : argmax(predict(network, input));
      const isMistake = predicted !== null && network.classes[predicted] !== label;
      const thumbnail = make("canvas");
      paint(thumbnail, form.height, form.width, (i) => bandsOf(input, i, channels).map((value) => Math.round(255 * value)));
      const picture = make("canvas");
      paint(picture, form.height, form.width, (i) => bandsOf(input, i, channels).map((value) => Math.round(255 * (form.background === "dark" ? 1 - value : value))));
      const title = isMistake ? `${visible(label)}, taken for ${visible(network.classes[predicted])}` : visible(label);
      const button = make("button", { type: "button", title, "aria-label": `Test image: ${title}`, "aria-pressed": "false" }, thumbnail);
      button.addEventListener("click", () => {
        pad.place(picture, input, false);
        Object.assign(pad.items.at(-1), { button, label });
      });
      buttons.push(button);
      groups[Number(isMistake)][1].push(button);
    });
    byId("examples").replaceChildren(...groups.filter(([, found]) => found.length).map(([title, found]) =>
      make("div", {}, make("h2", {}, title), make("div", { class: "strip" }, found))));
  }

  byId("seen-caption").textContent = `What the network sees: ${form.width} × ${form.height} pixels`;
  byId("undo").addEventListener("click", () => pad.undo());
  byId("clear").addEventListener("click", () => pad.clear());
  byId("brush").addEventListener("input", (event) => (pad.brush = Number(event.target.value)));
  byId("overlay").addEventListener("change", paintSeen);
  addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files][0];
    if (file) showFile(file);
  });
  addEventListener("keydown", (event) => {
    if (!event.target.matches("input, textarea") && (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") {
      event.preventDefault();
      pad.undo();
    }
  });
  acceptFiles(showFile, "choose", "file", document.querySelector(".pad"));
  prefersDark.addEventListener("change", update);
  pad.onPen = (pen) => {
    const marker = byId("pen");
    marker.hidden = !pen;
    if (!pen) return;
    marker.classList.toggle("down", pen.isDown);
    marker.style.left = `${(pen.x * pad.canvas.offsetWidth) / pad.width}px`;
    marker.style.top = `${(pen.y * pad.canvas.offsetHeight) / pad.height}px`;
  };
  showExamples();
  update();
  if (buttons.length) {
    buttons[0].click();
    pad.items[0].isWelcome = true;
  }
  // Browsers compile what has run some times: let the first stroke be as quick as the others.
  const whenIdle = globalThis.requestIdleCallback ?? setTimeout;
  const warmUp = (times) => whenIdle(() => {
    pad.prepare();
    if (times > 1) warmUp(times - 1);
  });
  warmUp(12);
  return pad;
}
