// The network, forward and backward, as in xpmlp's nn/: activations and losses with their derivatives beside them.
// Vectors are typed arrays; a weight is stored row by row, an input's weights to all outputs beside each other.

const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
const map = (values, f) => Float64Array.from(values, f);
const sum = (values) => values.reduce((total, value) => total + value, 0);
const argmax = (values) => values.reduce((best, value, index) => (value > values[best] ? index : best), 0);

const [SELU_SCALE, SELU_ALPHA, GELU_SCALE] = [1.0507009873554805, 1.6732632423543772, 0.7978845608028654];

// Each with its value a = σ(z), its derivative σ′(z), and the equation as text.
const ACTIVATIONS = {
  identity: { value: (z) => z, derivative: () => 1, equation: "z" },
  logistic: {
    value: sigmoid,
    derivative: (z) => sigmoid(z) * (1 - sigmoid(z)),
    equation: "1 / (1 + exp(−z))",
  },
  tanh: { value: Math.tanh, derivative: (z) => 1 - Math.tanh(z) ** 2, equation: "tanh(z)" },
  relu: { value: (z) => Math.max(z, 0), derivative: (z) => (z > 0 ? 1 : 0), equation: "max(z, 0)" },
  leaky_relu: { value: (z) => Math.max(z, z / 100), derivative: (z) => (z > 0 ? 1 : 0.01), equation: "z if z > 0, else z / 100" },
  elu: {
    value: (z) => (z > 0 ? z : Math.expm1(z)),
    derivative: (z) => (z > 0 ? 1 : Math.exp(z)),
    equation: "z if z > 0, else exp(z) − 1",
  },
  selu: {
    value: (z) => SELU_SCALE * (z > 0 ? z : SELU_ALPHA * Math.expm1(z)),
    derivative: (z) => SELU_SCALE * (z > 0 ? 1 : SELU_ALPHA * Math.exp(z)),
    equation: "λ z if z > 0, else λ α (exp(z) − 1)",
  },
  softplus: {
    value: (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))),
    derivative: sigmoid,
    equation: "log(1 + exp(z))",
  },
  silu: {
    value: (z) => z * sigmoid(z),
    derivative: (z) => sigmoid(z) * (1 + z * (1 - sigmoid(z))),
    equation: "z / (1 + exp(−z))",
  },
  gelu: {
    value: (z) => 0.5 * z * (1 + Math.tanh(GELU_SCALE * z * (1 + 0.044715 * z * z))),
    derivative(z) {
      const t = Math.tanh(GELU_SCALE * z * (1 + 0.044715 * z * z));
      return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * GELU_SCALE * (1 + 0.134145 * z * z);
    },
    equation: "z (1 + tanh(√(2/π) (z + 0.044715 z³))) / 2",
  },
  mish: {
    value: (z) => z * Math.tanh(ACTIVATIONS.softplus.value(z)),
    derivative(z) {
      const t = Math.tanh(ACTIVATIONS.softplus.value(z));
      return t + z * (1 - t * t) * sigmoid(z);
    },
    equation: "z tanh(log(1 + exp(z)))",
  },
};

// Return the activation of a hidden layer; there is one for all, or one for each.
const activationName = ({ activation }, index) => activation.split(",")[activation.includes(",") ? index : 0];
const activationOf = (network, index) => ACTIVATIONS[activationName(network, index)];

// The loss of a sample from its logits z and targets y, its gradient at the logits, and the prediction.
function softmax(logits) {
  const largest = Math.max(...logits);
  const exponentials = map(logits, (z) => Math.exp(z - largest));
  const total = sum(exponentials);
  return exponentials.map((value) => value / total);
}

const LOSSES = {
  softmax_cross_entropy: {
    predict: softmax,
    value(z, y) {
      const largest = Math.max(...z);
      return Math.log(sum(map(z, (value) => Math.exp(value - largest)))) - sum(map(z, (value, k) => y[k] * (value - largest)));
    },
    gradient: (z, y) => softmax(z).map((value, k) => value - y[k]),
    prediction: "ŷₖ = exp(zₖ) / Σⱼ exp(zⱼ)",
    equation: "L = −Σₖ yₖ log ŷₖ",
    slope: "∂L/∂z = ŷ − y",
  },
  logistic_cross_entropy: eachOutput({
    predict: sigmoid,
    value: (z, y) => Math.max(z, 0) - y * z + Math.log1p(Math.exp(-Math.abs(z))),
    gradient: (z, y) => sigmoid(z) - y,
    prediction: "ŷ = 1 / (1 + exp(−z))",
    equation: "L = −Σₖ yₖ log ŷₖ + (1 − yₖ) log(1 − ŷₖ)",
    slope: "∂L/∂z = ŷ − y",
  }),
  squared_error: eachOutput({
    value: (z, y) => 0.5 * (z - y) ** 2,
    gradient: (z, y) => z - y,
    equation: "L = ½ Σₖ (ŷₖ − yₖ)²",
    slope: "∂L/∂z = ŷ − y",
  }),
  poisson: eachOutput({
    predict: Math.exp,
    value: (z, y) => Math.exp(z) - y * z + (y > 0 ? y * Math.log(y) : 0) - y,
    gradient: (z, y) => Math.exp(z) - y,
    prediction: "ŷ = exp(z)",
    equation: "L = Σₖ ŷₖ − yₖ zₖ + yₖ log yₖ − yₖ",
    slope: "∂L/∂z = ŷ − y",
  }),
  gamma: eachOutput({
    predict: Math.exp,
    value: (z, y) => z + y * Math.exp(-z) - Math.log(y) - 1,
    gradient: (z, y) => 1 - y * Math.exp(-z),
    prediction: "ŷ = exp(z)",
    equation: "L = Σₖ zₖ + yₖ / ŷₖ − log yₖ − 1",
    slope: "∂L/∂z = 1 − y / ŷ",
  }),
  absolute_error: eachOutput({
    value: (z, y) => Math.abs(z - y),
    gradient: (z, y) => Math.sign(z - y),
    equation: "L = Σₖ |ŷₖ − yₖ|",
    slope: "∂L/∂z = sign(ŷ − y)",
  }),
  huber: huber(1),
  quantile: quantile(0.05, 0.5, 0.95),
};

// Return a loss that is a sum over the outputs, from that of one output; without `predict`, outputs are predictions.
function eachOutput({ predict = (z) => z, value, gradient, prediction = "ŷ = z", ...texts }) {
  return {
    predict: (z) => map(z, predict),
    value: (z, y) => sum(map(z, (each, k) => value(each, y[k]))),
    gradient: (z, y) => map(z, (each, k) => gradient(each, y[k])),
    prediction,
    ...texts,
  };
}

function huber(delta) {
  const limited = (difference) => Math.min(Math.max(difference, -delta), delta);
  return eachOutput({
    value: (z, y) => limited(z - y) * (z - y - limited(z - y) / 2),
    gradient: (z, y) => limited(z - y),
    equation: `L = Σₖ gₖ (dₖ − gₖ / 2), d = ŷ − y, g = d limited to ±${delta}`,
    slope: "∂L/∂z = g",
  });
}

// Quantiles: as many outputs side by side for each target, sorted for the prediction.
function quantile(...levels) {
  const slopes = (z, y) => map(z, (value, k) => Number(value > y[Math.floor(k / levels.length)]) - levels[k % levels.length]);
  return {
    levels,
    predict(z) {
      const sorted = Float64Array.from(z);
      for (let k = 0; k < z.length; k += levels.length) sorted.subarray(k, k + levels.length).sort();
      return sorted;
    },
    value: (z, y) => sum(slopes(z, y).map((slope, k) => slope * (z[k] - y[Math.floor(k / levels.length)]))),
    gradient: slopes,
    prediction: "ŷ = z, in ascending order",
    equation: "L = Σ ([z > y] − q) (z − y), over the quantiles q",
    slope: "∂L/∂z = [z > y] − q",
  };
}

// Return the loss of a name such as "quantile:0.1,0.9" or "squared_error of logistic": numbers, and an output function.
function lossOf({ loss: name }) {
  const [rest, output] = name.split(" of ");
  const [kind, numbers] = rest.split(":");
  const inner = numbers ? { huber, quantile }[kind](...numbers.split(",").map(Number)) : LOSSES[kind];
  if (!output) return inner;
  const { value, derivative, equation } = ACTIVATIONS[output];
  return {
    ...inner,
    predict: (z) => inner.predict(map(z, value)),
    value: (z, y) => inner.value(map(z, value), y),
    gradient: (z, y) => inner.gradient(map(z, value), y).map((slope, k) => slope * derivative(z[k])),
    prediction: `ŷ = ${equation}`,
    slope: "∂L/∂z = ∂L/∂ŷ · σ′(z)",
  };
}

// Return each layer's inputs x, a₁, a₂, …, and its sums z₁, z₂, …, of which the last are the logits.
function forward(network, x) {
  const inputs = [x];
  const sums = [];
  network.layers.forEach(({ weight, bias }, index) => {
    const input = inputs[index];
    const z = Float64Array.from(bias);
    for (let i = 0; i < input.length; i++) {
      const factor = input[i];
      if (factor === 0) continue;
      for (let j = 0, place = i * z.length; j < z.length; j++) z[j] += factor * weight[place + j];
    }
    sums.push(z);
    if (index < network.layers.length - 1) inputs.push(z.map(activationOf(network, index).value));
  });
  return { inputs, sums, logits: sums.at(-1) };
}

// Return the gradient at each layer's sums and at its inputs, given the gradient at the logits.
function backward(network, { sums }, gradient) {
  const atSums = [];
  const atInputs = [];
  for (let index = network.layers.length - 1; index >= 0; index--) {
    const { weight, inputs } = network.layers[index];
    const outputs = gradient.length;
    const atInput = new Float64Array(inputs);
    for (let i = 0; i < inputs; i++) {
      let total = 0;
      for (let j = 0, place = i * outputs; j < outputs; j++) total += gradient[j] * weight[place + j];
      atInput[i] = total;
    }
    atSums[index] = gradient;
    atInputs[index] = atInput;
    if (index === 0) break;
    const { derivative } = activationOf(network, index - 1);
    gradient = atInput.map((value, i) => value * derivative(sums[index - 1][i]));
  }
  return { atSums, atInputs };
}

// Return the network after one step of plain gradient descent: W − η x ∂L/∂z, b − η ∂L/∂z.
function step(network, { inputs }, { atSums }, rate) {
  const layers = network.layers.map((layer, index) => {
    const weight = Float64Array.from(layer.weight);
    const slope = atSums[index];
    inputs[index].forEach((factor, i) => {
      if (factor === 0) return;
      for (let j = 0, place = i * slope.length; j < slope.length; j++) weight[place + j] -= rate * factor * slope[j];
    });
    return { ...layer, weight, bias: map(layer.bias, (value, j) => value - rate * slope[j]) };
  });
  return { ...network, layers };
}

// Return what each network of an ensemble gives for an input.
const ofMembers = (network, f) => (network.members ?? [network]).map(f);
const meanOf = (vectors) => vectors[0].map((_, k) => sum(vectors.map((vector) => vector[k])) / vectors.length);

// Return the prediction for an input: numbers, or the probability of each class; of an ensemble, its members' mean.
function predict(network, x) {
  const output = meanOf(ofMembers(network, (member) => lossOf(member).predict(forward(member, x).logits)));
  return network.task === "binary" ? Float64Array.of(1 - output[0], output[0]) : output;
}

// Return the standard deviation of the members' predictions.
function spreadOf(network, x) {
  const outputs = ofMembers(network, (member) => predict(member, x));
  const mean = meanOf(outputs);
  return meanOf(outputs.map((output) => output.map((value, k) => (value - mean[k]) ** 2))).map(Math.sqrt);
}

// Return how much each input speaks for an output: input × the slope of its logit, which is traced back through the layers.
function contributions(network, x, output) {
  return meanOf(ofMembers(network, (member) => {
    const trace = forward(member, x);
    const gradient = new Float64Array(trace.logits.length);
    if (network.task === "binary") gradient[0] = output === 1 ? 1 : -1;
    else gradient[output] = 1;
    return backward(member, trace, gradient).atInputs[0].map((slope, i) => slope * x[i]);
  }));
}

// Return the targets of a label: a class's index, a number for each output, or whether each class is present.
function targetsOf(network, label) {
  if (network.task === "regression" || network.task === "multilabel") return Float64Array.from(label);
  if (network.task === "binary") return Float64Array.of(label);
  return Float64Array.from(network.classes, (_, index) => Number(index === label));
}
