"""The int8 variant: dense layers in int8 with static scales, everything else in f32.

Activations are quantised with scales measured once, on the reference, so a text's vector does not depend on what else
is in the batch, as it would with scales taken from each batch. Three measures keep the error small; each is exact
before rounding:

- A few channels of the encoder's activations are tens of times larger than the rest. They are shifted and scaled to
  match the others, and the weights take the inverse (SmoothQuant, Xiao et al. 2023; Outlier Suppression+, Wei et al.
  2023). Before a dense layer this sits in the layer norm, inside the attention in the value's weights: no extra work.
- After the GELU there is nothing to hide a scale in. Its few largest channels are computed in f32 beside the rest
  (as in LLM.int8(), Dettmers et al. 2022, with the channels fixed).
- Weights have a scale per output channel.

Weights use 7 bits: the AVX2 kernel adds pairs of u8 × i8 products in 16 bits, which saturate beyond.
"""

import numpy as np

from minilm_graph import CONTRIB, Encoder
from minilm_reference import CLS, SEP, Reference

WEIGHT_LEVELS = 64
# Ranges are widened by this: clipping an outlier costs more than the coarser steps.
MARGIN = 1.25
# Between moving the differences of the channels into the weights (1) and leaving them (0).
SMOOTHING = 0.5
# Channels after the GELU that stay in f32, of 1536.
KEPT_CHANNELS = 16

CALIBRATION_TEXTS = [
    "a",
    "How many people live in Berlin?",
    "What does the warranty cover, and for how long?",
    "The committee approved the budget for 2024 after a long debate about energy prices and housing.",
    "Revenue for the quarter ended March 2023 was $24.2 billion, up 14% year over year; net income fell by 3%.",
    "Section 4.2 describes how the pump is started after a power failure: first close valve B, then open valve A "
    "slowly, wait until the pressure gauge shows more than 2 bar, and only then press the green button.",
    "Mice lacking the gene showed reduced bone density (p < 0.01), which zoledronic acid partly restored in vivo.",
    "int main(void) { for (int i = 0; i < 10; ++i) printf(\"%d\\n\", i); return 0; } // exit code",
    "2023-10-05 14:33:12 ERROR [worker-3] timeout after 30s, retry 2/5: connection reset by peer",
    "| Item | Qty | Price |\n|---|---|---|\n| Bolt M8 | 120 | 0.35 |\n| Nut M8 | 120 | 0.12 |\n| Total | | 56.40 |",
    "Die Straße war länger als erwartet, aber am Abend erreichten wir das Tal; Größe und Gewicht stimmen überein.",
    "C'est l'été à Paris : l'économie s'améliore, mais le chômage reste élevé dans plusieurs régions.",
    "El informe anual describe los riesgos, las inversiones y la situación de los trabajadores.",
    "Правила хранения документов изменились в прошлом году.",
    "東京都の人口は約1400万人で、日本で最も多い。",
    "يجب قراءة التعليمات قبل تشغيل الجهاز.",
    "!!! ??? ... --- ,,, ((( ))) *** ### $$$ %%% &&&",
    "The lease may be ended by either party with three months' notice in writing. " * 12,
]


def calibration_ids(tokenizer, vocabulary_size):
    """What the scales are measured on: texts, long repetitions of one token, and noise."""
    rows = [tokenizer.encode(text).ids for text in CALIBRATION_TEXTS]
    repeated = [(100, 8), (100, 250), (1996, 40), (1998, 200), (3231, 80), (27000, 120), (1025, 20), (1024, 200)]
    rows += [[CLS, *[token] * count, SEP] for token, count in repeated]
    state = 1
    for length in (2, 5, 20, 30, 60, 100, 200, 250):
        noise = []
        for _ in range(length):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            noise.append(999 + (state >> 33) % (vocabulary_size - 999))
        rows.append([CLS, *noise, SEP])
    return rows


def measure_ranges(tensors, rows):
    """Smallest and largest input of every dense layer, by channel."""
    ranges = {}

    def observe(name, values):
        low, high = ranges.get(name, (np.inf, -np.inf))
        ranges[name] = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))

    reference = Reference(tensors, observe)
    for row in rows:
        reference.embed(row)
    # Three digits, so that the last bit of a platform's arithmetic does not reach the file.
    return {name: tuple(three_digits(bound) for bound in bounds) for name, bounds in ranges.items()}


def three_digits(values):
    return np.array([float(f"{value:.3g}") for value in values])


class QuantisedEncoder(Encoder):
    """The network with dense layers in int8."""

    def __init__(self, tensors, ranges):
        super().__init__(tensors)
        self.ranges = ranges

    def attention_block(self, unnormalised, norm, layer):
        out_name, out_weight, out_bias = self.weights(f"{layer}.attention.output.dense")
        # The weights of the attention sum to one, so a shift of the values is a shift of their mean.
        shift, scale, bounds = self.smoothing(out_name, [out_weight])
        parts = [self.attention_weights(layer, part) for part in ("query", "key", "value")]
        value_name, value_weight, value_bias = parts[2]
        parts[2] = value_name, value_weight / scale, (value_bias - shift) / scale
        x, quantised, parts = self.normalise_and_quantise(unnormalised, norm, parts)
        context = self.attend(*(self.quantised_dense(quantised, *part) for part in parts))
        out_bias = out_bias + shift @ out_weight
        context = self.quantise(context, bounds, f"{layer}.context")
        out = self.quantised_dense(context, out_name, out_weight * scale[:, None], out_bias)
        return self.graph.add("Add", [out, x])

    def feed_forward_block(self, unnormalised, norm, layer):
        g = self.graph
        out_name, out_weight, out_bias = self.weights(f"{layer}.output.dense")
        low, high = self.ranges[out_name]
        by_size = np.argsort(np.maximum(high, -low), kind="stable")
        small, large = np.sort(by_size[:-KEPT_CHANNELS]), np.sort(by_size[-KEPT_CHANNELS:])

        name, weight, bias = self.weights(f"{layer}.intermediate.dense")
        inner = [(name, weight[:, small], bias[small])]
        x, quantised, inner = self.normalise_and_quantise(unnormalised, norm, inner)
        hidden = g.add("Gelu", [self.quantised_dense(quantised, *inner[0])])
        hidden = self.quantise(hidden, (low[small].min(), high[small].max()), f"{layer}.hidden")
        out = self.quantised_dense(hidden, out_name, out_weight[small], out_bias)
        large_hidden = g.add("Gelu", [self.dense(x, name + ".large", weight[:, large], bias[large])])
        large_out = g.add("MatMul", [large_hidden, g.constant(out_name + ".large.weight", out_weight[large])])
        return g.add("Add", [g.add("Add", [out, large_out]), x])

    def smoothing(self, name, weights):
        """Shift and scale of each channel of the input of a layer, and the bounds of the smoothed input."""
        low, high = self.ranges[name]
        shift = (low + high) / 2
        spread = np.maximum((high - low) / 2, 1e-5)
        weight = np.maximum(np.max([np.abs(w).max(axis=1) for w in weights], axis=0), 1e-5)
        scale = spread**SMOOTHING / weight ** (1 - SMOOTHING)
        scale = scale / np.exp(np.log(scale).mean())
        return shift, scale, (((low - shift) / scale).min(), ((high - shift) / scale).max())

    def normalise_and_quantise(self, unnormalised, norm, layers):
        """The normalised input twice: as it is, and smoothed and quantised; and the layers that take the latter."""
        shift, scale, bounds = self.smoothing(layers[0][0], [weight for _, weight, _ in layers])
        weight, bias = self.tensors[norm + ".weight"], self.tensors[norm + ".bias"]
        smooth = self.normalise_with(unnormalised, norm + ".smooth", f32(weight / scale), f32((bias - shift) / scale))
        quantised = self.quantise(smooth, bounds, norm)
        layers = [(name, weight * scale[:, None], bias + shift @ weight) for name, weight, bias in layers]
        return self.normalise(unnormalised, norm), quantised, layers

    def quantise(self, x, bounds, name):
        """Names of x in u8, its scale and its zero point."""
        low, high = (min(bounds[0] * MARGIN, 0.0), max(bounds[1] * MARGIN, 0.0))
        step = (high - low) / 255
        scale = self.graph.constant(name + ".input_scale", np.float32(step))
        zero = self.graph.constant(name + ".input_zero", np.uint8(round(-low / step)))
        return self.graph.add("QuantizeLinear", [x, scale, zero]), scale, zero

    def quantised_dense(self, quantised, name, weight, bias):
        g = self.graph
        x, x_scale, x_zero = quantised
        scale = np.abs(weight).max(axis=0) / WEIGHT_LEVELS
        integers = np.clip(np.rint(weight / scale), -WEIGHT_LEVELS, WEIGHT_LEVELS).astype(np.int8)
        constants = [
            g.constant(name + ".weight", integers),
            x_scale,
            g.constant(name + ".scale", f32(scale)),
            x_zero,
            g.constant(name + ".zero", np.zeros(len(scale), np.int8)),
            g.constant(name + ".bias", f32(bias)),
        ]
        return g.add("MatMulIntegerToFloat", [x, *constants], domain=CONTRIB)


def f32(values):
    return np.asarray(values, np.float32)
