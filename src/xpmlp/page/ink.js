// How a picture becomes the network's input, as in xpmlp's model/ink.py and model/image_preprocessor.py, step by step.
// Tests compare both on the same pictures: what changes there must change here.

const BOX_THRESHOLD = 0.2;
const FAINTEST_INK = 0.06;
const WORKING_SIDE = 1024;

const roundEven = (value) => (Math.abs(value % 1) === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

// Return the k-th largest value, of few.
function kthLargest(values, k) {
  const found = new Float64Array(k).fill(-Infinity); // in ascending order
  for (let i = 0; i < values.length; i++) {
    if (values[i] <= found[0]) continue;
    let place = 0;
    for (; place + 1 < k && found[place + 1] < values[i]; place++) found[place] = found[place + 1];
    found[place] = values[i];
  }
  return found[0];
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Return the indices of an image's border: its outermost pixels, or a fortieth of the shorter side if wide.
function borderOf(height, width, wide = false) {
  const thickness = wide ? Math.max(1, Math.floor(Math.min(height, width) / 40)) : 1;
  const found = [];
  for (let y = 0; y < height; y++) {
    const isEdge = y < thickness || y >= height - thickness;
    for (let x = 0; x < width; x++) {
      if (isEdge || x < thickness || x >= width - thickness) found.push(y * width + x);
    }
  }
  return found;
}

const luminance = (red, green, blue) => (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;

// Return the luminance of RGBA pixels, from 0 to 1; if they have color, also red, green and blue.
function greyPlanes({ data, width, height }) {
  const grey = new Float32Array(width * height);
  let hasColor = false;
  for (let i = 0, place = 0; i < grey.length; i++, place += 4) {
    const [red, green, blue] = [data[place], data[place + 1], data[place + 2]];
    grey[i] = luminance(red, green, blue) / 255;
    hasColor ||= red !== green || green !== blue;
  }
  return hasColor ? [grey, ...[0, 1, 2].map((band) => grey.map((_, i) => data[4 * i + band] / 255))] : [grey];
}

// Return coefficients of the first `count` of six terms that fit some of the samples best, by the normal equations.
function leastSquares(terms, count, samples, chosen, weightOf) {
  const matrix = Array.from({ length: count }, () => new Float64Array(count + 1));
  for (const sample of chosen) {
    const weight = weightOf ? weightOf(sample) ** 2 : 1;
    for (let i = 0; i < count; i++) {
      const [row, factor] = [matrix[i], weight * terms[6 * sample + i]];
      for (let j = i; j < count; j++) row[j] += factor * terms[6 * sample + j];
      row[count] += factor * samples[sample];
    }
  }
  matrix.forEach((row, i) => row.subarray(0, i).forEach((_, j) => (row[j] = matrix[j][i])));
  const scale = Math.max(...matrix.map((row, i) => row[i]));
  const solved = matrix.map(() => false);
  for (let column = 0; column < count; column++) {
    let pivot = column;
    for (let row = column; row < count; row++) if (Math.abs(matrix[row][column]) > Math.abs(matrix[pivot][column])) pivot = row;
    if (Math.abs(matrix[pivot][column]) < 1e-12 * scale) continue; // a term that others can express, in tiny images
    [matrix[column], matrix[pivot]] = [matrix[pivot], matrix[column]];
    const row = matrix[column].map((value, _, all) => value / all[column]);
    matrix.forEach((other, i) => i !== column && (matrix[i] = other.map((value, j) => value - other[column] * row[j])));
    matrix[column] = row;
    solved[column] = true;
  }
  return Float64Array.from({ length: 6 }, (_, i) => (solved[i] ? matrix[i][count] : 0));
}

const linspace = (start, end, count) =>
  Float64Array.from({ length: count }, (_, i) => (i && i === count - 1 ? end : start + (i * (end - start)) / Math.max(count - 1, 1)));

// Return how far a picture stands out from the background under the ink: a quadratic surface, for uneven light and soft
// shadows. It starts as the plane through most of the border, or of the picture if that is more and reaches the border:
// a sheet on a table.
function withoutBackground(plane, height, width) {
  const [rows, columns] = [height, width].map((side) => linspace(0, side - 1, Math.min(side, 64)).map(roundEven));
  const [y, x] = [height, width].map((side) => linspace(-1, 1, side));
  const samples = new Float64Array(rows.length * columns.length);
  const terms = new Float64Array(6 * samples.length);
  for (let i = 0; i < samples.length; i++) {
    const [row, column] = [rows[Math.floor(i / columns.length)], columns[i % columns.length]];
    const [v, u] = [y[row], x[column]];
    samples[i] = plane[row * width + column];
    terms.set([1, u, v, u * u, v * u, v * v], 6 * i);
  }
  const border = borderOf(rows.length, columns.length, true);
  let { coefficients, isNear } = fitSurface(terms, samples, border);
  const share = (chosen, flags) => chosen.filter((i) => flags[i]).length / chosen.length;
  const all = [...samples.keys()];
  if (share(all, isNear) < 0.8) {
    const other = fitSurface(terms, samples, all);
    const better = share(all, other.isNear) > Math.max(share(all, isNear), 0.5);
    if (better && share(border, other.isNear) >= 0.35) ({ coefficients } = other);
  }
  const [c0, c1, c2, c3, c4, c5] = coefficients;
  const contrast = new Float32Array(plane.length);
  for (let row = 0, place = 0; row < height; row++) {
    const v = y[row];
    for (let column = 0; column < width; column++, place++) {
      const u = x[column];
      contrast[place] = plane[place] - Math.fround(c0 + c1 * u + c2 * v + c3 * u * u + c4 * v * u + c5 * v * v);
    }
  }
  return contrast;
}

// Fit a surface that starts among some of the samples; return its coefficients and which samples lie on it.
function fitSurface(terms, samples, among) {
  let coefficients = Float64Array.of(median(among.map((i) => samples[i])), 0, 0, 0, 0, 0);
  const distance = (i) => {
    let value = samples[i];
    for (let term = 0; term < 6; term++) value -= coefficients[term] * terms[6 * i + term];
    return Math.abs(value);
  };
  // Least absolute residuals, by iteratively reweighted least squares: the ink does not move the plane.
  const weightOf = (i) => 1 / Math.sqrt(Math.max(distance(i), 1e-3));
  for (let round = 0, before = null; round < 20 && String(before) !== String(coefficients); round++) {
    before = coefficients;
    coefficients = leastSquares(terms, 3, samples, among, weightOf);
  }
  const tolerance = Math.min(Math.max(4 * median(among.map(distance)), 0.02), 0.25);
  for (let round = 0, before = []; round < 5; round++) {
    const agreeing = [];
    for (let i = 0; i < samples.length; i++) if (distance(i) <= tolerance) agreeing.push(i);
    if (agreeing.length < 12 || (agreeing.length === before.length && agreeing.every((i, k) => i === before[k]))) break;
    before = agreeing;
    coefficients = leastSquares(terms, 6, samples, agreeing);
  }
  return { coefficients, isNear: Uint8Array.from(samples, (_, i) => distance(i) <= FAINTEST_INK) };
}

// Smooth with a Gaussian of σ = 1 pixel, mirrored at the edges.
function gaussian(plane, height, width) {
  const kernel = [0, 1, 2, 3, 4].map((distance) => Math.exp(-0.5 * distance ** 2));
  const [w0, w1, w2, w3, w4] = kernel.map((weight) => weight / (2 * sum(kernel) - kernel[0]));
  const pass = (source, lines, length, lineStep, stepAlong) => {
    const places = Int32Array.from({ length: length + 8 }, (_, i) => {
      const place = (i - 4 + 8 * length) % (2 * length);
      return stepAlong * Math.min(place, 2 * length - 1 - place);
    });
    const result = new Float32Array(source.length);
    const line = new Float64Array(length + 8);
    for (let first = 0; first < lines * lineStep; first += lineStep) {
      for (let i = 0; i < line.length; i++) line[i] = source[first + places[i]];
      for (let i = 4; i < length + 4; i++) {
        result[first + places[i]] = w0 * line[i] + w1 * (line[i - 1] + line[i + 1]) + w2 * (line[i - 2] + line[i + 2]) +
          w3 * (line[i - 3] + line[i + 3]) + w4 * (line[i - 4] + line[i + 4]);
      }
    }
    return result;
  };
  return pass(pass(plane, width, height, 1, width), height, width, width, 1);
}

// Number the connected parts above a threshold, diagonal neighbours included, from 1; return labels, the places that have
// one, and each part's box.
function labelParts(values, threshold, height, width) {
  const labels = new Int32Array(values.length);
  const places = [];
  const boxes = [null];
  for (let start = 0; start < values.length; start++) {
    if (!(values[start] > threshold) || labels[start]) continue;
    const label = boxes.length;
    let [top, bottom, left, right] = [height, 0, width, 0];
    labels[start] = label;
    let next = places.push(start) - 1; // the places from here on are a queue
    while (next < places.length) {
      const place = places[next++];
      const y = Math.floor(place / width);
      const x = place - y * width;
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
      [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
      for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, height - 1); v++) {
        for (let neighbour = v * width + Math.max(x - 1, 0); neighbour <= v * width + Math.min(x + 1, width - 1); neighbour++) {
          if (labels[neighbour] || !(values[neighbour] > threshold)) continue;
          labels[neighbour] = label;
          places.push(neighbour);
        }
      }
    }
    boxes.push({ top, bottom, left, right });
  }
  return { labels, places, boxes };
}

// Find the ink: how far each pixel stands out from the background, and which pixels are ink. Null if there is none.
function findInk(planes, height, width, blurs) {
  const rank = Math.max(1, Math.floor((height * width) / 10000)); // of a level that a speck of dust does not reach
  let best = { peak: -Infinity };
  planes.forEach((plane, index) => {
    const contrast = withoutBackground(plane, height, width);
    const smooth = blurs ? gaussian(contrast, height, width) : contrast;
    let balance = 0;
    for (let i = 0; i < smooth.length; i++) balance += smooth[i] * Math.abs(smooth[i]);
    const sign = balance < 0 ? -1 : 1;
    for (let i = 0; i < smooth.length; i++) {
      contrast[i] *= sign;
      if (blurs) smooth[i] *= sign;
    }
    const peak = kthLargest(smooth, rank);
    // Luminance comes first and is the least noisy: a color must show the ink clearly better.
    if (index === 0 || peak > 1.5 * best.peak) best = { contrast, smooth, peak };
  });
  let { contrast, smooth, peak } = best;
  let noise = 1.4826 * median(borderOf(height, width, true).map((i) => Math.abs(smooth[i])));
  if (5 * noise > FAINTEST_INK / 2) noise = Math.min(noise, 1.4826 * median(smooth.map(Math.abs))); // less makes no difference
  if (peak < Math.max(FAINTEST_INK, Math.min(5 * noise, 0.4))) return null;
  const lowest = Math.max(5 * noise, FAINTEST_INK / 2);
  const { inside, level } = insideBorder(smooth, height, width, lowest, peak);
  if (inside) {
    smooth = smooth.map((value, i) => (inside[i] ? value : 0));
    peak = kthLargest(smooth, rank);
  }
  let [total, strong] = [0, 0];
  for (let i = 0; i < smooth.length; i++) {
    if (smooth[i] < peak / 2) continue;
    total += smooth[i];
    strong++;
  }
  const full = total / strong;
  const threshold = Math.max(level, Math.min(Math.max(BOX_THRESHOLD * full, lowest), 0.4 * full));
  const { labels, places, boxes } = labelParts(smooth, threshold, height, width);
  // Shadows have no core as strong as ink, and dust is small.
  const mass = new Float64Array(boxes.length);
  const hasCore = new Uint8Array(boxes.length);
  for (const i of places) {
    mass[labels[i]] += smooth[i];
    if (smooth[i] >= full / 2) hasCore[labels[i]] = 1;
  }
  const heaviest = mass.reduce((most, value, part) => (hasCore[part] ? Math.max(most, value) : most), 0);
  // Smoothing spread the ink by a pixel: undo that.
  const isInk = new Uint8Array(labels.length);
  for (const i of places) isInk[i] = Number(hasCore[labels[i]] && mass[labels[i]] >= 0.03 * heaviest && contrast[i] > threshold);
  return { contrast, isInk };
}

// Return what stands out without reaching the border, with its surroundings, and the level from which it does so. Lines
// of ruled paper tie the ink to the border: levels rise until they vanish. Null if all, or nothing, is left out.
function insideBorder(smooth, height, width, lowest, peak) {
  const border = borderOf(height, width);
  let best = { inside: null, level: 0, free: 0 };
  if (!border.some((i) => smooth[i] > lowest)) return best;
  const shortest = Math.min(height, width);
  const highest = Math.max(0.7 * peak, lowest);
  for (let step = 0; step < 10; step++) {
    const level = lowest * (highest / lowest) ** (step / 9);
    const { labels, places, boxes } = labelParts(smooth, level, height, width);
    const [energy, contact] = [new Float64Array(boxes.length), new Int32Array(boxes.length)];
    for (const i of places) energy[labels[i]] += smooth[i] ** 2;
    border.forEach((i) => contact[labels[i]]++);
    let [free, cut] = [0, 0];
    for (let part = 1; part < boxes.length; part++) {
      const { top, bottom, left, right } = boxes[part];
      if (contact[part] === 0 && Math.max(bottom - top, right - left) >= shortest / 20) free += energy[part];
      // Ink that is cut by the border touches it briefly; a table or the edge of a scanner along a side.
      if (contact[part] > 0 && contact[part] < shortest / 4) cut += energy[part];
    }
    if (free > 1.25 * best.free && free > 0.5 * cut) {
      best = { inside: Uint8Array.from(labels, (label) => Number(!label || !contact[label])), level, free };
    }
  }
  return { ...best, level: best.level > lowest ? best.level : 0 };
}

// Return where a sheet lies if that is what stands out: something large and solid, whose holes are the ink.
function findSheet(isInk, height, width) {
  const box = boxOf(isInk, height, width);
  const area = (box.bottom - box.top) * (box.right - box.left);
  let beside = 0; // pixels of the box to the left and to the right of all ink, which no sheet has many of
  for (let y = box.top; y < box.bottom; y++) {
    const row = isInk.subarray(y * width + box.left, y * width + box.right);
    const first = row.indexOf(1);
    beside += first < 0 ? row.length : first + row.length - 1 - row.lastIndexOf(1);
  }
  if (area < 0.2 * isInk.length || beside > 0.15 * area) return null;
  const outside = new Uint8Array(isInk.length);
  const stack = borderOf(height, width).filter((place) => !isInk[place]);
  stack.forEach((place) => (outside[place] = 1));
  while (stack.length) {
    const place = stack.pop();
    const x = place % width;
    for (const [next, is] of [[place - 1, x > 0], [place + 1, x < width - 1], [place - width, place >= width], [place + width, place < isInk.length - width]]) {
      if (!is || isInk[next] || outside[next]) continue;
      outside[next] = 1;
      stack.push(next);
    }
  }
  return outside.reduce((solid, is) => solid + 1 - is, 0) >= 0.85 * area ? box : null;
}

function boxOf(mask, height, width) {
  const box = { top: height, bottom: 0, left: width, right: 0 };
  for (let y = 0, place = 0; y < height; y++) {
    for (let x = 0; x < width; x++, place++) {
      if (!mask[place]) continue;
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y + 1);
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x + 1);
    }
  }
  return box;
}

// Leave out small parts that are far from all marks.
function withoutSpecks({ contrast, isInk }, height, width) {
  const { labels, boxes } = labelParts(isInk, 0, height, width);
  const sizes = boxes.map((box) => (box ? Math.max(box.bottom - box.top, box.right - box.left) : 0));
  const order = [...sizes.keys()].slice(1).sort((a, b) => sizes[b] - sizes[a]);
  const largest = sizes[order[0]];
  const kept = sizes.map(() => true);
  order.forEach((part, position) => {
    if (position === 0 || sizes[part] >= 0.4 * largest) return;
    const apart = order.slice(0, position).map((other) => {
      const [a, b] = [boxes[part], boxes[other]];
      const above = Math.max(a.top, b.top) - Math.min(a.bottom, b.bottom);
      const beside = Math.max(a.left, b.left) - Math.min(a.right, b.right);
      return Math.hypot(Math.max(above, 0), Math.max(beside, 0));
    });
    const nearest = apart.indexOf(Math.min(...apart));
    kept[part] = kept[order[nearest]] && apart[nearest] < 0.5 * largest;
  });
  return { contrast, isInk: isInk.map((is, i) => Number(is && kept[labels[i]])) };
}

// Grow a mask by a radius along both axes.
function dilate(mask, height, width, radius) {
  const pass = (source, lines, length, lineStep, stepAlong) => {
    const result = new Uint8Array(source.length);
    for (let l = 0; l < lines; l++) {
      for (let i = 0, last = -Infinity; i < length + radius; i++) {
        if (i < length && source[l * lineStep + i * stepAlong]) last = i;
        const place = i - radius;
        if (place >= 0 && last >= place - radius) result[l * lineStep + place * stepAlong] = 1;
      }
    }
    return result;
  };
  return pass(pass(mask, height, width, width, 1), width, height, 1, width);
}

// Resize part of an image with Lanczos's filter along one axis, as Pillow does; coordinates are float32, sums float64.
function lanczos(source, { lines, length, lineStep, stepAlong }, start, end, size) {
  const [from, to] = [Math.fround(start), Math.fround(end)];
  const scale = (to - from) / size;
  const filterScale = Math.max(scale, 1);
  const sinc = (value) => (value === 0 ? 1 : Math.sin(value * Math.PI) / (value * Math.PI));
  const filter = (value) => (value >= -3 && value < 3 ? sinc(value) * sinc(value / 3) : 0);
  const result = new Float32Array(lines * size);
  for (let i = 0; i < size; i++) {
    const center = from + (i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - 3 * filterScale + 0.5), 0);
    const last = Math.min(Math.trunc(center + 3 * filterScale + 0.5), length);
    const weights = Float64Array.from({ length: last - first }, (_, k) => filter((k + first - center + 0.5) / filterScale));
    const total = sum(weights);
    for (let l = 0; l < lines; l++) {
      let value = 0;
      for (let k = 0; k < weights.length; k++) value += source[l * lineStep + (first + k) * stepAlong] * (weights[k] / total);
      result[l * size + i] = value; // line by line, whatever the axis
    }
  }
  return result;
}

// Return an image whose columns were stored one behind the other, line by line.
const transposed = (columns, width, height) => columns.map((_, i) => columns[(i % width) * height + Math.floor(i / width)]);

// Return the ink alone, light on dark, in the size, extent and placement of the training images.
function placeInk({ contrast, isInk }, height, width, form) {
  let box = { top: 0, bottom: height, left: 0, right: width };
  let contentSize = 1;
  if (form.centering !== "none") {
    contentSize = form.content_size;
    box = boxOf(isInk, height, width);
  }
  const sides = [form.height, form.width];
  const lengths = [box.bottom - box.top, box.right - box.left];
  const scale = Math.min(
    (contentSize * Math.max(...sides)) / Math.max(...lengths), sides[0] / lengths[0], sides[1] / lengths[1],
  );
  // Soft edges reach a little beyond the pixels that were found, about half a pixel of the result.
  const near = dilate(isInk, height, width, Math.max(1, roundEven(0.5 / scale)));
  const inkAt = (y, x) => {
    const place = (box.top + y) * width + box.left + x;
    return near[place] ? contrast[place] : 0;
  };
  // The window of the padded crop that becomes the image, along each axis.
  const axes = sides.map((side, axis) => {
    const length = lengths[axis];
    const room = side - length * scale;
    let start = room / 2;
    if (form.centering === "mass") {
      // As in MNIST: in whole pixels, the center of mass goes to the pixel side // 2.
      let [moment, mass] = [0, 0];
      for (let i = 0; i < length; i++) {
        let along = 0;
        for (let j = 0; j < lengths[1 - axis]; j++) along += Math.max(axis === 0 ? inkAt(i, j) : inkAt(j, i), 0);
        moment += along * (i + 0.5);
        mass += along;
      }
      const center = (scale * moment) / mass - 0.5;
      start = Math.min(Math.max(Math.floor(side / 2) - roundEven(center), 0), Math.floor(room + 1e-6));
    }
    const before = Math.ceil(start / scale) + 1;
    const after = Math.ceil((room - start) / scale) + 1;
    return { before, padded: before + length + after, from: before - start / scale, to: before + (side - start) / scale };
  });
  const [vertical, horizontal] = axes;
  const padded = new Float32Array(vertical.padded * horizontal.padded);
  for (let y = 0; y < lengths[0]; y++) {
    for (let x = 0; x < lengths[1]; x++) padded[(y + vertical.before) * horizontal.padded + x + horizontal.before] = inkAt(y, x);
  }
  const wide = { lines: vertical.padded, length: horizontal.padded, lineStep: horizontal.padded, stepAlong: 1 };
  const narrow = lanczos(padded, wide, horizontal.from, horizontal.to, form.width);
  const tall = { lines: form.width, length: vertical.padded, lineStep: 1, stepAlong: form.width };
  const turned = lanczos(narrow, tall, vertical.from, vertical.to, form.height);
  const image = transposed(turned, form.width, form.height);
  const largest = image.reduce((best, value) => Math.max(best, value), 0);
  const inked = image.filter((value) => value > largest / 4).sort();
  const place = 0.9 * (inked.length - 1);
  const below = inked[Math.floor(place)];
  const full = below + (inked[Math.ceil(place)] - below) * (place % 1);
  return image.map((value) => Math.min(Math.max(value / full, 0), 1));
}

// Return an opaque picture: transparency is replaced by a background that contrasts with the ink.
function withoutTransparency(pixels) {
  const { data, width, height } = pixels;
  const alphaOf = (place) => data[4 * place + 3];
  let isOpaque = true;
  for (let place = 0; place < width * height && isOpaque; place++) isOpaque = alphaOf(place) === 255;
  if (isOpaque) return pixels;
  const box = boxOf(Uint8Array.from({ length: width * height }, (_, place) => Number(alphaOf(place) >= 128)), height, width);
  let [light, weight] = [0, 0];
  for (let place = 0; place < width * height; place++) {
    light += alphaOf(place) * luminance(...data.subarray(4 * place, 4 * place + 3));
    weight += alphaOf(place);
  }
  let backdrop = light > 127.5 * weight ? [0, 0, 0] : [255, 255, 255];
  let part = { top: 0, bottom: height, left: 0, right: width };
  if (box.bottom > box.top) {
    // A sheet with a transparent margin or round corners has its own background; a drawing has none.
    const border = borderOf(box.bottom - box.top, box.right - box.left).map((i) => {
      const y = Math.floor(i / (box.right - box.left));
      return (y + box.top) * width + (i % (box.right - box.left)) + box.left;
    });
    const opaque = border.filter((place) => alphaOf(place) >= 128);
    const own = [0, 1, 2].map((band) => (opaque.length ? median(opaque.map((place) => data[4 * place + band])) : 0));
    let farthest = 0;
    for (let y = box.top; y < box.bottom; y++) {
      for (let x = box.left; x < box.right; x++) {
        const place = y * width + x;
        if (alphaOf(place) < 128) continue;
        own.forEach((value, band) => (farthest = Math.max(farthest, Math.abs(data[4 * place + band] - value))));
      }
    }
    if (opaque.length >= 0.9 * border.length && farthest >= 255 * FAINTEST_INK) [backdrop, part] = [own.map(roundEven), box];
  }
  const [newWidth, newHeight] = [part.right - part.left, part.bottom - part.top];
  const result = new Uint8ClampedArray(4 * newWidth * newHeight);
  for (let y = 0, place = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++, place += 4) {
      const from = 4 * ((y + part.top) * width + x + part.left);
      const alpha = data[from + 3] / 255;
      for (let band = 0; band < 3; band++) result[place + band] = data[from + band] * alpha + backdrop[band] * (1 - alpha);
      result[place + 3] = 255;
    }
  }
  return { data: result, width: newWidth, height: newHeight };
}

// Reduce a large picture by a whole factor, averaging blocks of pixels.
function reduceLarge(pixels) {
  const factor = Math.floor(Math.max(pixels.width, pixels.height) / WORKING_SIDE);
  if (factor < 2) return pixels;
  const [width, height] = [Math.ceil(pixels.width / factor), Math.ceil(pixels.height / factor)];
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0, place = 0; y < height; y++) {
    for (let x = 0; x < width; x++, place += 4) {
      const [bottom, right] = [Math.min((y + 1) * factor, pixels.height), Math.min((x + 1) * factor, pixels.width)];
      const totals = [0, 0, 0];
      for (let v = y * factor; v < bottom; v++) {
        for (let u = x * factor; u < right; u++) {
          for (let band = 0; band < 3; band++) totals[band] += pixels.data[4 * (v * pixels.width + u) + band];
        }
      }
      const count = (bottom - y * factor) * (right - x * factor);
      totals.forEach((total, band) => (data[place + band] = Math.floor(total / count + 0.5)));
      data[place + 3] = 255;
    }
  }
  return { data, width, height };
}

// Return a picture's pixels as the network's input, from 0 to 1; null if nothing stands out from its background.
function prepare(pixels, form) {
  if (form.channels) return resizeWhole(pixels, form);
  const opaque = withoutTransparency(pixels);
  if (opaque.width === form.width && opaque.height === form.height) {
    const [grey] = greyPlanes(opaque);
    const [low, high] = [Math.min(...grey), Math.max(...grey)];
    if (Math.fround(high - low) < FAINTEST_INK) return null;
    const isLight = median(borderOf(form.height, form.width).map((i) => grey[i])) > 0.5;
    return isLight !== (form.background === "light") ? grey.map((value) => 1 - value) : grey;
  }
  const picture = reduceLarge(opaque);
  let { width, height } = picture;
  const planes = greyPlanes(picture);
  const blurs = Math.max(height, width) >= 4 * Math.max(form.height, form.width); // smooth noise away if there are pixels to spare
  let found = findInk(planes, height, width, blurs);
  if (found === null) return null;
  // If the position in the picture was learned, it is kept whole.
  const sheet = form.centering === "none" ? null : findSheet(found.isInk, height, width);
  if (sheet) {
    const [rows, columns] = [sheet.bottom - sheet.top, sheet.right - sheet.left];
    const cropped = planes.map((plane) => new Float32Array(rows * columns).map((_, i) => plane[(sheet.top + Math.floor(i / columns)) * width + sheet.left + (i % columns)]));
    const inside = findInk(cropped, rows, columns, blurs);
    if (inside) [found, height, width] = [inside, rows, columns];
  }
  const image = placeInk(withoutSpecks(found, height, width), height, width, form);
  return form.background === "dark" ? image : image.map((value) => 1 - value);
}
