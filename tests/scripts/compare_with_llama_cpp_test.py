# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/compare_with_llama_cpp_test.py

What llama.cpp would read; llama.cpp itself is not needed (tests/parity/llama_cpp_test.py runs it).
"""

import json
import sys
import tempfile
import unittest
from pathlib import Path

import gguf
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import compare_with_llama_cpp as compare  # noqa: E402
import gguf_model  # noqa: E402
import gguf_writing  # noqa: E402
from record_parity_fixtures import Rope  # noqa: E402

MODELS = ROOT / "tests" / "fixtures" / "models"
ROPE = Rope("any", np.array([1.0, 1.25, 2.5, 4.0]), attention_scale=1.125)


class WriteGguf(unittest.TestCase):
    def test_what_is_read_back_is_the_model_under_its_factors(self) -> None:
        # float32, bfloat16 in shards, float16; tied and untied
        for name in ("tiny-gqa-tied", "tiny-untied-sharded", "tiny-mha-f16"):
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.gguf"
                compare.write_gguf(path, MODELS / name, ROPE, 256)
                config = gguf_writing.read_config(MODELS / name)
                read = gguf_model.GgufModel(path)
                plan = {theirs: ours for ours, theirs in gguf_model.MODEL_TENSORS.items()}
                for layer in range(config["num_hidden_layers"]):
                    for ours, theirs in gguf_model.LAYER_TENSORS.items():
                        plan[f"model.layers.{layer}.{theirs}.weight"] = f"blk.{layer}.{ours}.weight"
                weights = gguf_writing.read_tensors(MODELS / name)
                self.assertEqual(len(weights) + 1, len(read.tensors))
                for theirs, values in weights.items():
                    tensor = read.tensors[plan[theirs]]
                    self.assertEqual(tensor.tensor_type, gguf.GGMLQuantizationType.F32)
                    back = gguf_model.read_tensor(read, plan[theirs], config)
                    np.testing.assert_array_equal(back, values, err_msg=theirs)
                np.testing.assert_array_equal(read.tensors["rope_freqs.weight"].data, ROPE.factors)
                self.assertEqual(read.get("llama.rope.scaling.attn_factor"), 1.125)
                self.assertEqual(read.get("llama.attention.key_length"), config["head_dim"])

    def test_matrices_are_stored_in_the_type_that_is_asked_for(self) -> None:
        model = MODELS / "tiny-gqa-tied"
        embedding = gguf_writing.read_tensors(model)["model.embed_tokens.weight"]
        for kind, epsilon in (("F32", 0.0), ("F16", 2.0**-11), ("BF16", 2.0**-8)):
            with self.subTest(kind), tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.gguf"
                compare.write_gguf(path, model, None, 256, kind)
                tensors = gguf_model.GgufModel(path).tensors
                self.assertNotIn("rope_freqs.weight", tensors)  # no factors: as the model is
                stored = gguf.GGMLQuantizationType[kind]
                self.assertEqual(tensors["token_embd.weight"].tensor_type, stored)
                norm = tensors["output_norm.weight"]
                self.assertEqual(norm.tensor_type, gguf.GGMLQuantizationType.F32)
                back = gguf.quants.dequantize(tensors["token_embd.weight"].data, stored)
                apart = np.abs(back.reshape(embedding.shape) - embedding)
                self.assertTrue((apart <= epsilon * np.abs(embedding) + 1e-7).all())

    def test_what_llama_cpp_does_not_know_is_refused(self) -> None:
        for name, rope, expected in (
            ("tiny-gqa-tied", Rope("any", ROPE.factors, start_tokens=2), "start tokens"),
            ("tiny-qwen2", ROPE, "Qwen2ForCausalLM"),
            ("tiny-llama3-biases", ROPE, "without biases"),
        ):
            with (
                self.subTest(name),
                tempfile.TemporaryDirectory() as folder,
                self.assertRaisesRegex(compare.ComparisonError, expected),
            ):
                compare.write_gguf(Path(folder) / "model.gguf", MODELS / name, rope, 256)

    def test_bfloat16_is_widened_exactly(self) -> None:
        values = np.array([1.0, -2.5, 0.15625], "<f4")
        half = (values.view("<u4") >> 16).astype("<u2").tobytes()
        np.testing.assert_array_equal(gguf_writing.to_float32(half, "BF16", "x"), values)
        with self.assertRaisesRegex(gguf_model.GgufError, "is I64"):
            gguf_writing.to_float32(bytes(8), "I64", "x")

    def test_the_configuration_of_the_demo_is_understood(self) -> None:
        config = gguf_writing.read_config(ROOT / "models" / "demo")
        self.assertEqual(config, json.loads((ROOT / "models/demo/config.json").read_text()))


if __name__ == "__main__":
    unittest.main()
