// Rows of a table: text to values, and values to the network's input, as in xpmlp's datasets/tables/encoding.py.
// A value is a number, a category's text, or null if it is missing; dates are numbers, days since 1970.

const inputsOf = ({ categories, parts, indicator }) => Math.max(1, categories.length, parts.length) + Number(indicator);

function inputNamesOf(columns) {
  return columns.flatMap((column) => {
    const name = visible(column.name);
    const names = column.categories.map((category) => `${name} = ${visible(category)}`);
    names.push(...column.parts.map(([part]) => `${name}, ${part}`));
    return [...(names.length ? names : [name]), ...(column.indicator ? [`${name} is missing`] : [])];
  });
}

// Return a part of a date: 1970 began on a Thursday, weekdays are counted from Monday as 1.
function datePart(days, part) {
  const whole = Math.floor(days);
  const date = new Date(whole * 86400000);
  return {
    elapsed: days,
    hour: (days - whole) * 24,
    weekday: ((((whole + 3) % 7) + 7) % 7) + 1,
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
  }[part];
}

// Return a row's values as the network's input; an error names a column whose value may not be missing.
function encodeRow(columns, values) {
  const x = new Float32Array(sum(columns.map(inputsOf)));
  let place = 0;
  columns.forEach((column, index) => {
    const { kind, categories, fill, offset, scale, indicator, infrequent, parts } = column;
    const isMissing = values[index] === null;
    const value = isMissing ? fill : values[index];
    if (value === null) throw new Error(`${visible(column.name)} has no value, but the network was trained without missing values.`);
    if (kind === "category") {
      const known = categories.indexOf(value);
      const code = known < 0 && infrequent !== null ? categories.indexOf(infrequent) : known;
      if (code >= 0) x[place + code] = 1;
    } else {
      const scaled = parts.length ? parts.map(([part, low, width]) => (datePart(value, part) - low) / width) : [(value - offset) / scale];
      scaled.forEach((number, k) => (x[place + k] = number));
    }
    place += inputsOf(column);
    if (indicator) x[place - 1] = Number(isMissing);
  });
  const wrong = x.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) throw new Error(`${inputNamesOf(columns)[wrong]} is infinite, or too large to compute with.`);
  return x;
}

// Return a number without the digits that float32 does not hold.
function rounded(value, scale) {
  const digits = Math.min(Math.max(Math.ceil(-Math.log10(scale * 1e-5)), 0), 12);
  return Number(value.toFixed(digits));
}

// Return the values that an input was made of: the inverse of encodeRow, but for what was filled.
function decodeRow(columns, x) {
  let place = 0;
  return columns.map((column) => {
    const { kind, categories, offset, scale, indicator, parts } = column;
    const part = x.subarray(place, place + inputsOf(column));
    place += part.length;
    if (indicator && part.at(-1) === 1) return null;
    if (kind === "category") return part.indexOf(1) < 0 ? null : categories[part.indexOf(1)];
    if (kind === "date") return decodeDate(column, part);
    return kind === "boolean" ? part[0] : rounded(part[0] * scale + offset, scale);
  });
}

function decodeDate({ parts, fill }, x) {
  const found = Object.fromEntries(parts.map(([part, low, width], k) => [part, x[k] * width + low]));
  if (found.elapsed !== undefined) return found.hour === undefined ? Math.round(found.elapsed) : rounded(found.elapsed, 0.01);
  const from = new Date(Math.floor(fill ?? 0) * 86400000);
  const year = Math.round(found.year ?? from.getUTCFullYear());
  const month = Math.round(found.month ?? from.getUTCMonth() + 1);
  return Date.UTC(year, month - 1, Math.round(found.day ?? from.getUTCDate())) / 86400000 + rounded((found.hour ?? 0) / 24, 0.01);
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DATE_FIELDS = {
  "%Y": "(?<Y>\\d{4})", "%y": "(?<y>\\d{2})", "%m": "(?<m>\\d{1,2})", "%d": "(?<d>\\d{1,2})", "%H": "(?<H>\\d{1,2})", "%I": "(?<I>\\d{1,2})",
  "%M": "(?<M>\\d{1,2})", "%S": "(?<S>\\d{1,2})", "%.f": "(?<f>\\.\\d+)?", "%p": "(?<p>[ap]m)", "%b": "(?<b>[a-z]{3,})", "%B": "(?<b>[a-z]{3,})",
  "%a": "[a-z]{3,}", "%A": "[a-z]{3,}", "%z": "\\s?(?<z>z|utc|gmt|[+-]\\d{2}:?\\d{2})",
};

// Return a text as days since 1970, by its format as chrono writes it, or as ISO 8601; null if it is neither.
function parseDate(text, format) {
  for (const form of [format, "%Y%m%d", "%H:%M", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d"]) {
    if (!form) continue;
    const pattern = form.split(/(%\.?[a-zA-Z])/).map((part) => DATE_FIELDS[part] ?? part.replace(/[.*+?^$()|[\]{}\\]/g, "\\$&")).join("");
    const found = new RegExp(`^${pattern}$`, "i").exec(text.trim())?.groups;
    if (!found) continue;
    const year = found.Y ?? (found.y === undefined ? 1970 : Number(found.y) + (Number(found.y) < 70 ? 2000 : 1900));
    const month = found.b ? MONTHS.indexOf(found.b.slice(0, 3).toLowerCase()) + 1 : Number(found.m ?? 1);
    const hour = found.I ? (Number(found.I) % 12) + (found.p?.toLowerCase() === "pm" ? 12 : 0) : Number(found.H ?? 0);
    const day = Number(found.d ?? 1);
    const date = new Date(Date.UTC(Number(year), month - 1, day));
    if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || found.M > 59) return null;
    const zone = /([+-])(\d{2}):?(\d{2})/.exec(found.z ?? "");
    const ahead = zone ? (Number(zone[2]) * 60 + Number(zone[3])) * (zone[1] === "-" ? -1 : 1) : 0;
    return date / 86400000 + (hour * 3600 + Number(found.M ?? 0) * 60 + Number(found.S ?? 0) + Number(found.f ?? 0) - ahead * 60) / 86400;
  }
  return null;
}

// Which parts of a date a column shows: "date", "time" alone, or "datetime".
function dateShape({ parts }) {
  const names = parts.map(([part]) => part);
  return !names.includes("hour") ? "date" : names.length === 1 ? "time" : "datetime";
}

// Return days since 1970 as ISO 8601.
function dateText(days, shape) {
  const text = new Date(Math.round(days * 86400000)).toISOString();
  return { date: text.slice(0, 10), time: text.slice(11, 16), datetime: text.slice(0, 16) }[shape];
}

// Numbers with currencies, units and separators between thousands, as in xpmlp's datasets/tables/numbers.py.
const CURRENCY = "(?:US|R|A|C|NZ|HK)?\\$|[€£¥₹₩₽₺₫₴₦฿¢]|(?:USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|BRL|kr|Rs|Fr)\\.?";
const UNIT = "%|‰|°?[\\p{L}\\p{M}][\\p{L}\\p{M}\\/²³µ.]{0,9}|[\"'+°]";
const DECORATED = new RegExp(`^(\\(?)\\s*([+−\\-]?)\\s*(${CURRENCY})?\\s*([+−\\-]?)\\s*([\\d.,][\\d.,'’_ \\u00a0\\u202f]*?(?:[eE][+\\-]?\\d+)?)\\s*([−–—\\-]{0,2})\\s*(${CURRENCY}|${UNIT})?\\s*(${CURRENCY})?\\s*\\)?$`, "u");
const GROUPS = "['’_ \\u00a0\\u202f]";
const POINT = new RegExp(`^(\\d{1,3}((,\\d{2,3})*,\\d{3}|(${GROUPS}\\d{3})+)(\\.\\d*)?|\\d+\\.?\\d*|\\.\\d+)([eE][+\\-]?\\d+)?$`, "u");
const COMMA = new RegExp(`^(\\d{1,3}((\\.\\d{3})+|(${GROUPS}\\d{3})+)(,\\d*)?|\\d+,?\\d*|,\\d+)([eE][+\\-]?\\d+)?$`, "u");

// Return a cell's text as a number; null if it is none.
function parseNumber(text, format, decimalComma) {
  if (!format) {
    const plain = decimalComma ? text.replace(",", ".") : text;
    return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : null;
  }
  const [, bracket, sign, before, other, digits, dash, after, last] = DECORATED.exec(text) ?? [];
  const isPoint = format.decimal === ".";
  if (digits === undefined || !(isPoint ? POINT : COMMA).test(digits)) return null;
  const units = format.magnitudes ? [before, last] : [before, after, last];
  const factor = format.magnitudes && after ? format.magnitudes[after.toLowerCase()] : 1;
  if (factor === undefined || units.some((unit) => unit !== undefined && unit !== format.unit)) return null;
  const plain = digits.replace(new RegExp(GROUPS, "gu"), "").replaceAll(isPoint ? "," : ".", "").replace(",", ".");
  const isNegative = bracket || [sign, other, /\d$/.test(digits) && dash].some((mark) => mark === "-" || mark === "−");
  return factor * Number(plain) * (isNegative ? -1 : 1);
}

// Return the value in a cell; undefined if it is of another kind than the column.
function parseCell(text, column, markers, decimalComma) {
  const cell = text.trim();
  if (markers.all.includes(cell)) return null;
  if (column.kind === "category") {
    // As in training, whole numbers are alike whether they are written 3 or 3.0.
    const whole = /^[+-]?\d+\.0*$/.test(cell) ? String(parseInt(cell, 10)) : cell;
    return column.categories.includes(cell) ? cell : whole;
  }
  if (column.kind === "boolean") {
    const known = { true: 1, t: 1, yes: 1, y: 1, 1: 1, "1.0": 1, false: 0, f: 0, no: 0, n: 0, 0: 0, "0.0": 0 }[cell.toLowerCase()];
    if (known !== undefined) return known;
  }
  if (column.kind === "date") {
    const days = parseDate(cell, column.format);
    if (days !== null) return days;
  }
  if (column.kind === "number") {
    const number = parseNumber(cell, column.number_format, decimalComma);
    if (number !== null) return number;
  }
  return markers.numbers.includes(cell.toLowerCase()) ? null : undefined;
}

// Return the cells of CSV text, and the separator; quoted cells may hold separators and line ends.
function parseCsv(text) {
  const content = text.replace(/^\ufeff/, "");
  const [first] = content.trimStart().split(/\r?\n/, 1);
  const separator = [",", ";", "\t", "|"].reduce((best, each) => (first.split(each).length > first.split(best).length ? each : best));
  const lines = [];
  let [cells, cell, isQuoted] = [[], "", false];
  for (let i = 0; i < content.length; i++) {
    const character = content[i];
    if (isQuoted) {
      if (character !== '"') cell += character;
      else if (content[i + 1] === '"') cell += content[++i];
      else isQuoted = false;
    } else if (character === '"' && !cell.trim()) [isQuoted, cell] = [true, ""];
    else if (character === separator) [cells, cell] = [[...cells, cell], ""];
    else if (character === "\n") {
      pushLine(lines, [...cells, cell]);
      [cells, cell] = [[], ""];
    }
    else cell += character;
  }
  if (isQuoted) throw new Error("A quote has no partner: the rows cannot be told apart.");
  pushLine(lines, [...cells, cell]);
  return { lines, separator };
}

// Add a line unless it is blank.
function pushLine(lines, cells) {
  const line = cells.with(-1, cells.at(-1).replace(/\r$/, ""));
  if (line.length > 1 || line[0].trim()) lines.push(line);
}

// Return the rows of CSV text with their cells as the columns' values, and notes; an error tells what does not fit.
// A cell of another kind is a missing value if training made the best of such, as long as they are fewer than half.
function readRows(text, { columns, missing, markers }) {
  const { lines, separator } = parseCsv(text);
  if (lines.length < 2) throw new Error("There are no rows: the first line holds the columns’ names, each other line a row.");
  const header = lines[0].map((name) => name.trim());
  const places = columns.map(({ name }) => header.indexOf(name.trim()));
  const absent = columns.filter((_, index) => places[index] < 0).map(({ name }) => visible(name));
  if (absent.length) {
    throw new Error(`${absent.length} of the ${columns.length} columns are missing: ${absent.slice(0, 8).join(", ")}${absent.length > 8 ? ", …" : ""}. The first line has: ${header.slice(0, 8).map(visible).join(", ")}.`);
  }
  const [unknown, wrong, late] = [new Map(), new Map(), new Map()];
  const add = (counts, { name }) => counts.set(name, (counts.get(name) ?? 0) + 1);
  const rows = lines.slice(1).map((cells, row) => {
    if (cells.length !== header.length) throw new Error(`Row ${row + 1} has ${cells.length} cells, but the first line has ${header.length}. Put quotes around a value that contains “${separator}”.`);
    return columns.map((column, index) => {
      const value = parseCell(cells[places[index]], column, markers, separator === ";");
      if (value === undefined) {
        add(wrong, column);
        if (missing !== "auto" || wrong.get(column.name) > (lines.length - 1) / 2) {
          throw new Error(`Row ${row + 1}, ${visible(column.name)}: “${visible(cells[places[index]])}” is not a ${column.kind}.`);
        }
        return null;
      }
      if (column.kind === "category" && value !== null && column.infrequent === null && !column.categories.includes(value)) add(unknown, column);
      if (value !== null && column.latest !== null && value > column.latest) add(late, column);
      return value;
    });
  });
  const tell = (counts, what) => Array.from(counts, ([name, rows]) => `${visible(name)}: ${count(rows, "row")} ${what}.`);
  const notes = [
    ...tell(unknown, "with a category that training did not have"),
    ...tell(wrong, "with a value of another kind, used as missing"),
    ...tell(late, "with a date after the latest in training: the network extrapolates"),
  ];
  return { header, lines: lines.slice(1), rows, notes };
}

// Return lines of cells as CSV text.
const toCsv = (lines) => lines.map((cells) => cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",")).join("\n") + "\n";

// Return a CSV's cells with the predictions of its rows, in columns named as by xpmlp predict.
function predictRows(network, description, text) {
  const { columns } = description;
  const { header, lines, rows, notes } = readRows(text, description);
  const isNumber = network.task === "regression";
  const whats = network.members.length > 1 ? ["prediction", "spread"] : ["prediction"];
  const names = isNumber
    ? whats.flatMap((what) => network.output_names.map((name) => (network.output_names.length > 1 ? `${what}_${name}` : what)))
    : network.task === "multilabel"
      ? ["prediction", "probability"].flatMap((what) => network.classes.map((name) => `${what}_${name}`))
      : ["prediction", ...network.classes.map((name) => `probability_${name}`)];
  const taken = new Set(header);
  const added = names.map((name) => {
    while (taken.has(name)) name += "_";
    taken.add(name);
    return name;
  });
  let skipped = 0;
  const outputs = rows.map((values) => {
    if (values.some((value, index) => value === null && columns[index].fill === null)) {
      skipped++;
      return null;
    }
    const x = encodeRow(columns, values);
    return isNumber && whats.length > 1 ? [...predict(network, x), ...spreadOf(network, x)] : predict(network, x);
  });
  const predicted = lines.map((cells, row) => {
    const output = outputs[row];
    if (!output) return [...cells, ...added.map(() => "")];
    const labels = isNumber ? [] : network.task === "multilabel" ? Array.from(output, (value) => String(value > 0.5)) : [network.classes[argmax(output)]];
    return [...cells, ...labels, ...Array.from(output, String)];
  });
  return { header: [...header, ...added], lines: predicted, added: added.length, outputs, skipped, notes };
}
