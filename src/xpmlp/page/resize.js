// How a photo becomes the network's input, as in xpmlp's model/picture_resizer.py: the whole picture, resized.
// Tests compare both on the same pictures: what changes there must change here.

const REDUCING_GAP = 2;

// Return the three values of pixel i, which has one or three.
const bandsOf = (values, i, channels) => [0, 1, 2].map((band) => values[i * channels + (channels === 3 ? band : 0)]);

// Return a band of a picture on white, averaged over blocks of pixels.
function reduceBand({ data, width, height }, band, [across, down]) {
  const [columns, rows] = [Math.ceil(width / across), Math.ceil(height / down)];
  const result = new Float32Array(rows * columns);
  for (let y = 0, place = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, place++) {
      let [total, count] = [0, 0];
      for (let v = y * down; v < Math.min((y + 1) * down, height); v++) {
        for (let u = x * across; u < Math.min((x + 1) * across, width); u++, count++) {
          const from = 4 * (v * width + u);
          total += Math.round(255 + ((data[from + band] - 255) * data[from + 3]) / 255);
        }
      }
      result[place] = Math.floor(total / count + 0.5);
    }
  }
  return { plane: result, columns, rows };
}

// Return a band in a new size, as Pillow makes it: in bytes, line by line and then column by column.
function resizeBand(pixels, band, width, height) {
  const factors = [pixels.width / width, pixels.height / height].map((ratio) => Math.max(1, Math.floor(ratio / REDUCING_GAP)));
  const { plane, columns, rows } = reduceBand(pixels, band, factors);
  const asBytes = (values) => values.map((value) => Math.min(Math.max(Math.floor(value + 0.5), 0), 255));
  const wide = { lines: rows, length: columns, lineStep: columns, stepAlong: 1 };
  const narrow = asBytes(lanczos(plane, wide, 0, pixels.width / factors[0], width));
  const tall = { lines: width, length: rows, lineStep: 1, stepAlong: width };
  const turned = asBytes(lanczos(narrow, tall, 0, pixels.height / factors[1], height));
  return transposed(turned, width, height);
}

// Return a picture's pixels as the network's input, from 0 to 1.
function resizeWhole(pixels, form) {
  const scale = Math.min(form.width / pixels.width, form.height / pixels.height);
  const [width, height] = [pixels.width, pixels.height].map((length) => Math.max(1, roundEven(length * scale)));
  const bands = [0, 1, 2].map((band) => resizeBand(pixels, band, width, height));
  const padding = bands.map((values) => Math.trunc(median(borderOf(height, width).map((i) => values[i]))));
  const [left, top] = [Math.floor((form.width - width) / 2), Math.floor((form.height - height) / 2)];
  const input = new Float32Array(form.height * form.width * form.channels);
  for (let i = 0; i < form.height * form.width; i++) {
    const [x, y] = [(i % form.width) - left, Math.floor(i / form.width) - top];
    const isInside = x >= 0 && x < width && y >= 0 && y < height;
    const colors = isInside ? bands.map((values) => values[y * width + x]) : padding;
    (form.channels === 3 ? colors : [luminance(...colors)]).forEach((value, band) => (input[i * form.channels + band] = value / 255));
  }
  return input;
}
