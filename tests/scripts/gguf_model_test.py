# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/gguf_model_test.py"""

import json
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import gguf
import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts"), str(Path(__file__).parent)]

import gguf_model  # noqa: E402

HIDDEN, INNER, HEADS, KV_HEADS, LAYERS, WINDOW = 64, 96, 4, 2, 2, 128
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LETTERS = [*"abcde", "Ġ", "Ċ", *"0123456789"]
MERGES = ["a b", "Ġ ab", "Ġ a", "1 2", "ab ab"]
TOKENS = [*SPECIAL, *LETTERS, "ab", "Ġa", "Ġab", "12", "abab", "<user>"]
TYPES = [3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL) - 1) + [4]
METADATA: dict[str, Any] = {
    "llama.block_count": LAYERS,
    "llama.context_length": WINDOW,
    "llama.embedding_length": HIDDEN,
    "llama.feed_forward_length": INNER,
    "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": KV_HEADS,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.freq_base": 100000.0,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": TYPES,
    "tokenizer.ggml.merges": MERGES,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.add_bos_token": False,
}


def interleaved_rows(weight: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's conversion does to the queries and keys of transformers."""
    rows, inputs = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, inputs).swapaxes(1, 2).reshape(rows, inputs)


def llama_weights() -> dict[str, np.ndarray]:
    """Random weights by their GGUF names; queries and keys in the order of transformers."""
    random = np.random.default_rng(7)
    keys = KV_HEADS * HIDDEN // HEADS
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (len(TOKENS), HIDDEN),
        "output_norm": (HIDDEN,),
    }
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_norm": (HIDDEN,),
            f"blk.{layer}.attn_q": (HIDDEN, HIDDEN),
            f"blk.{layer}.attn_k": (keys, HIDDEN),
            f"blk.{layer}.attn_v": (keys, HIDDEN),
            f"blk.{layer}.attn_output": (HIDDEN, HIDDEN),
            f"blk.{layer}.ffn_norm": (HIDDEN,),
            f"blk.{layer}.ffn_gate": (INNER, HIDDEN),
            f"blk.{layer}.ffn_up": (INNER, HIDDEN),
            f"blk.{layer}.ffn_down": (HIDDEN, INNER),
        }
    return {
        f"{name}.weight": random.standard_normal(shape, dtype=np.float32)
        for name, shape in shapes.items()
    }


def write_gguf(
    path: Path,
    metadata: dict[str, Any] | None = None,
    weights: dict[str, np.ndarray] | None = None,
    quantised: bool = False,
) -> None:
    """A small Llama. `metadata` overrides METADATA; None leaves a key out."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in (METADATA | (metadata or {})).items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif value is not None:
            writer.add_array(key, value)
    for name, weight in (llama_weights() if weights is None else weights).items():
        if name.endswith("attn_q.weight"):
            weight = interleaved_rows(weight, HEADS)
        elif name.endswith("attn_k.weight"):
            weight = interleaved_rows(weight, KV_HEADS)
        if quantised and weight.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(name, gguf.quantize(weight, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8 : 8 + size]), data[8 + size :]
    assert size % 8 == 0
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            assert entry["dtype"] == "F32"
            begin, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(values[begin:end], "<f4").reshape(entry["shape"])
    assert sum(tensor.nbytes for tensor in tensors.values()) == len(values)
    return tensors


class GgufModelTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "small.gguf"

    def open(self, metadata: dict[str, Any] | None = None) -> gguf_model.GgufModel:
        write_gguf(self.file, metadata)
        return gguf_model.GgufModel(self.file)

    def assert_refused(self, *phrases: str) -> None:
        output = self.folder / "refused"
        output.mkdir(exist_ok=True)
        with self.assertRaises(gguf_model.GgufError) as caught:
            gguf_model.write_model(self.file, output)
        for phrase in (str(self.file), *phrases):
            self.assertIn(phrase, str(caught.exception))

    def test_config_says_what_the_metadata_says(self) -> None:
        config = gguf_model.llama_config(self.open())
        expected = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": len(TOKENS),
            "hidden_size": HIDDEN,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "head_dim": HIDDEN // HEADS,
            "max_position_embeddings": WINDOW,
            "rms_norm_eps": 1e-05,  # not float32's 9.999999747378752e-06
            "rope_theta": 100000.0,
            "tie_word_embeddings": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": None,
        }
        self.assertEqual(expected, {key: config[key] for key in expected})

    def test_an_output_matrix_of_its_own_unties_the_head(self) -> None:
        weights = llama_weights()
        weights["output.weight"] = weights["token_embd.weight"] + 1
        write_gguf(self.file, weights=weights)
        gguf_model.write_model(self.file, self.folder)
        config = json.loads((self.folder / "config.json").read_text())
        self.assertFalse(config["tie_word_embeddings"])
        tensors = read_safetensors(self.folder / "model.safetensors")
        np.testing.assert_array_equal(tensors["lm_head.weight"], weights["output.weight"])

    def test_rows_come_back_in_the_order_of_transformers(self) -> None:
        for heads, head_dim in ((1, 2), (3, 8), (9, 64)):
            weight = np.arange(heads * head_dim * 5, dtype=np.float32).reshape(-1, 5)
            with self.subTest(heads=heads, head_dim=head_dim):
                restored = gguf_model.half_split_rows(interleaved_rows(weight, heads), heads)
                np.testing.assert_array_equal(restored, weight)
        self.assertFalse(np.array_equal(interleaved_rows(weight, heads), weight))

    def test_reordered_rows_give_the_same_attention_scores(self) -> None:
        random = np.random.default_rng(1)
        dimension, position, key_position = 8, 11, 4
        query, key = random.standard_normal((2, dimension))
        angles = 100000.0 ** (-np.arange(dimension // 2) / (dimension // 2))

        def rotate(vector: np.ndarray, first, second, at: int) -> np.ndarray:
            turned = vector.copy()
            cosine, sine = np.cos(at * angles), np.sin(at * angles)
            turned[first] = vector[first] * cosine - vector[second] * sine
            turned[second] = vector[second] * cosine + vector[first] * sine
            return turned

        def score(one: np.ndarray, other: np.ndarray, first, second) -> float:
            return rotate(one, first, second, position) @ rotate(other, first, second, key_position)

        pairs = np.arange(dimension // 2)
        interleaved = score(query, key, 2 * pairs, 2 * pairs + 1)
        reordered = [gguf_model.half_split_rows(v[:, None], 1)[:, 0] for v in (query, key)]
        half_split = score(*reordered, pairs, pairs + dimension // 2)
        self.assertAlmostEqual(interleaved, half_split, places=12)
        self.assertNotAlmostEqual(
            score(query, key, pairs, pairs + dimension // 2), half_split, places=3
        )

    def test_weights_keep_their_bits_under_other_names(self) -> None:
        weights = llama_weights()
        write_gguf(self.file, weights=weights)
        gguf_model.write_model(self.file, self.folder)
        tensors = read_safetensors(self.folder / "model.safetensors")
        self.assertEqual(len(tensors), len(weights))
        for name, target in (
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output_norm.weight", "model.norm.weight"),
            ("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"),
            ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight"),
            ("blk.1.attn_k.weight", "model.layers.1.self_attn.k_proj.weight"),
            ("blk.1.attn_v.weight", "model.layers.1.self_attn.v_proj.weight"),
            ("blk.1.attn_output.weight", "model.layers.1.self_attn.o_proj.weight"),
            ("blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"),
            ("blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight"),
            ("blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight"),
            ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight"),
        ):
            with self.subTest(name):
                np.testing.assert_array_equal(tensors[target], weights[name])

    def test_quantised_weights_are_dequantised(self) -> None:
        weights = llama_weights()
        write_gguf(self.file, weights=weights, quantised=True)
        gguf_model.write_model(self.file, self.folder)
        tensors = read_safetensors(self.folder / "model.safetensors")
        for name, target in (
            ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight"),
            ("blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"),
        ):
            kind = gguf.GGMLQuantizationType.Q4_1  # by rows, so their order does not matter
            expected = gguf.dequantize(gguf.quantize(weights[name], kind), kind)
            np.testing.assert_array_equal(tensors[target], expected)
            self.assertLess(np.abs(tensors[target] - weights[name]).max(), 0.3)

    def test_the_tokenizer_merges_words_and_splits_digits(self) -> None:
        tokenizer = gguf_model.build_tokenizer(self.open())
        for text, expected in (
            ("abab ab", ["abab", "Ġab"]),
            ("ab12 12", ["ab", "1", "2", "Ġ", "1", "2"]),  # "12" is never made of a text
            ("a\nb", ["a", "Ċ", "b"]),
            ("<|im_start|>ab<user>", ["<|im_start|>", "ab", "<user>"]),
        ):
            with self.subTest(text):
                encoding = tokenizer.encode(text)
                self.assertEqual(encoding.tokens, expected)
                self.assertEqual(encoding.ids, [TOKENS.index(token) for token in expected])
                self.assertEqual(tokenizer.decode(encoding.ids, skip_special_tokens=False), text)

    def test_the_tokenizer_file_is_the_tokenizer_without_bos(self) -> None:
        from tokenizers import Tokenizer

        write_gguf(self.file, {"tokenizer.chat_template": "{{ x }}"})
        gguf_model.write_model(self.file, self.folder)
        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self.assertEqual(tokenizer.get_vocab_size(), len(TOKENS))
        self.assertEqual(tokenizer.encode("ab").tokens, ["ab"])
        config = json.loads((self.folder / "tokenizer_config.json").read_text())
        self.assertEqual(config["bos_token"], "<|im_start|>")
        self.assertEqual(config["eos_token"], "<|im_end|>")
        self.assertEqual(config["chat_template"], "{{ x }}")
        self.assertNotIn("pad_token", config)

    def test_what_is_not_understood_is_refused_by_name(self) -> None:
        for metadata, phrases in (
            ({"llama.embedding_length": None}, ("has no llama.embedding_length",)),
            ({"llama.rope.scaling.type": "yarn"}, ("llama.rope.scaling.type = 'yarn'", "'none'")),
            ({"llama.rope.dimension_count": 8}, ("llama.rope.dimension_count = 8", "16")),
            ({"llama.attention.sliding_window": 9}, ("llama.attention.sliding_window",)),
            ({"llama.expert_count": 4}, ("llama.expert_count = 4",)),
            ({"llama.vocab_size": 7}, ("llama.vocab_size = 7", str(len(TOKENS)))),
            ({"tokenizer.ggml.model": "llama"}, ("tokenizer.ggml.model = 'llama'", "'gpt2'")),
            ({"tokenizer.ggml.pre": "qwen2"}, ("tokenizer.ggml.pre = 'qwen2'", "'smollm'")),
            ({"tokenizer.ggml.add_bos_token": True}, ("tokenizer.ggml.add_bos_token = True",)),
            ({"tokenizer.ggml.merges": ["a b", "b c"]}, ("merge 1 is 'b c'",)),
            ({"tokenizer.ggml.merges": ["ab"]}, ("merge 0 is 'ab'",)),
            ({"tokenizer.ggml.token_type": [6] * len(TOKENS)}, ("token type 6",)),
            ({"tokenizer.ggml.tokens": ["a"] * len(TOKENS)}, ("of which 1 differ",)),
        ):
            with self.subTest(metadata):
                write_gguf(self.file, metadata)
                self.assert_refused(*phrases)

    def test_other_architectures_are_refused(self) -> None:
        writer = gguf.GGUFWriter(self.file, "mamba")
        writer.add_tensor("token_embd.weight", np.zeros((2, 2), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        self.assert_refused("general.architecture = 'mamba'", "'llama'")

    def test_missing_unknown_and_misshapen_tensors_are_refused_by_name(self) -> None:
        weights = llama_weights()
        del weights["blk.1.attn_k.weight"]
        write_gguf(self.file, weights=weights)
        self.assert_refused("the tensor blk.1.attn_k.weight is missing")
        weights = llama_weights() | {"rope_freqs.weight": np.ones(8, dtype=np.float32)}
        write_gguf(self.file, weights=weights)
        self.assert_refused("does not understand the tensor rope_freqs.weight")
        write_gguf(self.file, {"llama.feed_forward_length": INNER + 32})
        self.assert_refused("blk.0.ffn_gate.weight has shape [96, 64]", "[128, 64]")

    def test_values_that_are_not_finite_are_refused(self) -> None:
        weights = llama_weights()
        weights["blk.0.ffn_up.weight"][3, 5] = np.nan
        write_gguf(self.file, weights=weights)
        self.assert_refused("blk.0.ffn_up.weight", "not finite")

    def test_what_is_no_gguf_file_is_refused(self) -> None:
        for content in (b"", b"no model at all" * 100):
            with self.subTest(content[:8]):
                self.file.write_bytes(content)
                self.assert_refused("no GGUF file")
        write_gguf(self.file)
        whole = self.file.read_bytes()
        self.file.write_bytes(whole[: len(whole) // 2])
        self.assert_refused("no GGUF file, or a damaged one")
        self.file.unlink()
        self.assert_refused("cannot read")


if __name__ == "__main__":
    unittest.main()
