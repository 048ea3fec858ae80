// Small helpers: elements, text and colors. Names from data only ever become text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

// Make an element; properties that elements have are set as such, others as attributes.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat());
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

// Return a name with its control characters visible: ones that end a line, ring, or turn the writing direction.
const visible = (text) =>
  String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu, (character) => {
    const code = character.codePointAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
  });

// Return a number with a few significant digits and a real minus sign.
function number(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  const text = value === 0 ? "0" : size >= 1e7 || size < 1e-3 ? value.toExponential(digits - 2) : Number(value.toPrecision(digits)).toString();
  return text.replaceAll("-", "−");
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;
const count = (value, noun) => `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;

// Return a color of the style sheet as red, green and blue. They are remembered, as asking for them takes long.
const knownColors = new Map();
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
prefersDark.addEventListener("change", () => knownColors.clear());
function colorOf(name) {
  if (!knownColors.has(name)) {
    const text = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    knownColors.set(name, [1, 3, 5].map((place) => parseInt(text.slice(place, place + 2), 16)));
  }
  return knownColors.get(name);
}

// Return a function that colors values from −largest (against) through nothing to largest (for).
function divergingColors(largest, middle = colorOf("fill")) {
  const [positive, negative] = [colorOf("for"), colorOf("against")];
  return (value) => {
    const share = Math.min(Math.abs(value) / (largest || 1), 1);
    const end = value >= 0 ? positive : negative;
    return middle.map((from, band) => Math.round(from + (end[band] - from) * share));
  };
}

// Set an element's text if it differs: setting it has the page laid out again.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Paint values as an image, one pixel each.
function paint(canvas, height, width, colorAt) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([...colorAt(i), 255], 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const largestSize = (values) => values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);

// Return the indices of the largest values by a measure, largest first.
const topBy = (values, most, measure = (value) => value) =>
  Array.from(values, (value, index) => [measure(value), index]).sort((a, b) => b[0] - a[0]).slice(0, most).map(([, index]) => index);

// A list of choices of which one is chosen, moved through with the arrow keys; `choose` gets its position.
function chooseWithArrows(container, choose) {
  container.addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    const choices = [...container.children];
    const now = choices.indexOf(document.activeElement);
    if (move === undefined || now < 0) return;
    event.preventDefault();
    const next = Math.min(Math.max(now + move, 0), choices.length - 1);
    choices[next].focus();
    choose(next);
  });
}

// A part that scrolls sideways, for the keyboard too.
const scrolling = (name, child) => make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": name }, child);

function makeTable(headings, rows, { name = "", total = false } = {}) {
  return make("table", { "aria-label": name },
    make("thead", {}, make("tr", {}, headings.map((heading) => make("th", { scope: "col" }, heading)))),
    make("tbody", {}, rows.map((cells, index) =>
      make("tr", { class: cells.class ?? (total && index === rows.length - 1 ? "total" : "") }, cells.map((cell) => make("td", {}, cell))))));
}

// Take a file that is chosen with a button, which stands for a file input, or dropped anywhere on the page.
function acceptFiles(take, button, input, target) {
  byId(button).addEventListener("click", () => byId(input).click());
  byId(input).addEventListener("change", () => {
    if (byId(input).files[0]) take(byId(input).files[0]);
    byId(input).value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("dropping");
  });
  addEventListener("dragleave", () => target.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    target.classList.remove("dropping");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}
