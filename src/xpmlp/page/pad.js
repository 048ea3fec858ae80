// The drawing area: strokes and pictures, each of which can be undone. Ink is black on white, whatever the page's colors.
// All is drawn twice: on the canvas that is seen, and smaller on the sheet that the network's input is made of, for speed.

const SHEET_SIDE = 168; // pixels, about; also the unit of places and brushes
const MOST_PIXELS = 89_478_485; // of a picture file, as Pillow's limit
const SHARPNESS = 3; // pixels of the canvas for one of the sheet

class Pad {
  constructor(canvas, form, onChange) {
    const zoom = Math.max(2, Math.round(SHEET_SIDE / Math.max(form.height, form.width)));
    const [width, height] = [form.width * zoom, form.height * zoom];
    const sheet = make("canvas", { width, height });
    Object.assign(canvas, { width: width * SHARPNESS, height: height * SHARPNESS });
    canvas.style.aspectRatio = `${width} / ${height}`;
    this.contexts = [canvas.getContext("2d"), sheet.getContext("2d", { willReadFrequently: true })];
    this.contexts[0].scale(SHARPNESS, SHARPNESS);
    Object.assign(this, { canvas, sheet, width, height, form, onChange, items: [], brush: 13, isDirty: false, pen: null, onPen() {} });
    this.redraw();
    this.listen();
  }

  listen() {
    const { canvas } = this;
    let pointer = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (pointer !== null || event.button !== 0) return;
      pointer = event.pointerId;
      canvas.setPointerCapture(pointer);
      this.start(this.placeOf(event));
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== pointer) return;
      const events = event.getCoalescedEvents?.() ?? [];
      (events.length ? events : [event]).forEach((each) => this.extend(this.placeOf(each)));
    });
    const end = (event) => {
      if (event.pointerId === pointer) pointer = null;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("blur", () => this.onPen((this.pen = null)));
  }

  // Draw with the keyboard: arrows move the pen, space puts it down or lifts it.
  onKey(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    this.pen ??= { x: this.width / 2, y: this.height / 2, isDown: false };
    if (move) {
      const distance = event.shiftKey ? 15 : 5;
      this.pen.x = Math.min(Math.max(this.pen.x + move[0] * distance, 0), this.width);
      this.pen.y = Math.min(Math.max(this.pen.y + move[1] * distance, 0), this.height);
      if (this.pen.isDown) this.extend([this.pen.x, this.pen.y]);
    } else {
      this.pen.isDown = !this.pen.isDown;
      if (this.pen.isDown) this.start([this.pen.x, this.pen.y]);
    }
    this.onPen(this.pen);
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * this.width) / box.width, ((event.clientY - box.top) * this.height) / box.height];
  }

  start(place) {
    if (this.items[0]?.isWelcome) this.clear(); // the example that the page opens with makes room
    this.items.push({ brush: this.brush, places: [place] });
    this.drawSegment(this.items.at(-1), 0);
    this.changed();
  }

  extend(place) {
    const stroke = this.items.at(-1);
    stroke.places.push(place);
    this.drawSegment(stroke, stroke.places.length - 1);
    this.changed();
  }

  drawSegment({ brush, places }, index) {
    for (const context of this.contexts) {
      context.fillStyle = context.strokeStyle = "#000";
      context.lineWidth = brush;
      context.lineCap = "round";
      context.beginPath();
      if (index === 0) {
        context.arc(...places[0], brush / 2, 0, 2 * Math.PI);
        context.fill();
      } else {
        context.moveTo(...places[index - 1]);
        context.lineTo(...places[index]);
        context.stroke();
      }
    }
  }

  // Show a picture; `input` is what it becomes, until something is drawn over it.
  place(picture, input, isSmooth) {
    this.items.push({ picture, input, isSmooth });
    this.redraw();
    this.changed();
  }

  undo() {
    this.items.pop();
    this.redraw();
    this.changed();
  }

  clear() {
    this.items = [];
    this.redraw();
    this.changed();
  }

  redraw() {
    const last = this.items.findLastIndex((item) => item.picture);
    for (const context of this.contexts) {
      context.fillStyle = "#fff";
      context.fillRect(0, 0, this.width, this.height);
      if (last < 0) continue;
      const { picture, isSmooth } = this.items[last];
      const scale = Math.min(this.width / picture.width, this.height / picture.height);
      const [width, height] = [picture.width * scale, picture.height * scale];
      context.imageSmoothingEnabled = isSmooth;
      context.drawImage(picture, (this.width - width) / 2, (this.height - height) / 2, width, height);
    }
    this.items.slice(last + 1).forEach((stroke) => stroke.places.forEach((_, index) => this.drawSegment(stroke, index)));
  }

  // The network's input for what is drawn; null if that is nothing.
  get input() {
    if (!this.items.length) return null;
    const last = this.items.at(-1);
    return last.picture ? last.input : this.prepare();
  }

  prepare() {
    return prepare(this.contexts[1].getImageData(0, 0, this.width, this.height), this.form);
  }

  // Tell once before the next frame, however many points a stroke has gained.
  changed() {
    if (this.isDirty) return;
    this.isDirty = true;
    requestAnimationFrame(() => {
      this.isDirty = false;
      this.onChange();
    });
  }
}

// Read a picture file as RGBA pixels, upright, with its colors as they are stored.
async function readPicture(file) {
  const name = visible(file.name || "This file");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${name} is not a picture that this browser can read. Save it as PNG or JPEG.`);
  }
  const { width, height } = bitmap;
  try {
    if (width * height > MOST_PIXELS) throw new RangeError();
    const canvas = make("canvas", { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return { canvas, pixels: context.getImageData(0, 0, width, height) };
  } catch {
    throw new Error(`${name} is too large: ${width.toLocaleString("en")} × ${height.toLocaleString("en")} pixels. Save a smaller copy.`);
  }
}
