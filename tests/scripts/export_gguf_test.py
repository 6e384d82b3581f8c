# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/export_gguf_test.py

What llama.cpp would read; llama.cpp itself is not needed (tests/parity/llama_cpp_test.py runs it).
"""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import gguf
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import export_gguf  # noqa: E402
import gguf_model  # noqa: E402
import gguf_writing  # noqa: E402

MODELS = ROOT / "tests" / "fixtures" / "models"
SCALE = 1.0625  # exact in float32
LISTS = {"short_factor": [1.0, 1.125, 1.25, 1.5], "long_factor": [1.0, 1.5, 2.5, 4.125]}


class ExportGguf(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.model = self.folder / "model"
        shutil.copytree(MODELS / "tiny-gqa-tied", self.model)
        self.config = gguf_writing.read_config(self.model)
        self.pairs = self.config["head_dim"] // 2
        self.window = self.config["max_position_embeddings"]
        self.tokens = [f"t{number}" for number in range(self.config["vocab_size"])]
        factors = {name: (values * self.pairs)[: self.pairs] for name, values in LISTS.items()}
        self.write_config(
            rope_scaling={"rope_type": "longrope", "attention_factor": SCALE, **factors}
        )

    def write_config(self, **keys: Any) -> None:
        windows = {
            "max_position_embeddings": 4 * self.window,
            "original_max_position_embeddings": self.window,
        }
        (self.model / "config.json").write_text(json.dumps(self.config | windows | keys))

    def export(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "export_gguf.py"), str(self.model), *words],
            text=True,
            capture_output=True,
        )

    def exported(self, *words: str) -> gguf_model.GgufModel:
        output = self.folder / "model.gguf"
        done = self.export("--output", str(output), *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("read back as written", done.stdout)
        return gguf_model.GgufModel(output)

    def assert_lists(self, model: gguf_model.GgufModel, architecture: str = "llama") -> None:
        self.assertEqual(model.get(f"{architecture}.rope.scaling.type"), "longrope")
        self.assertEqual(
            model.get(f"{architecture}.rope.scaling.original_context_length"), self.window
        )
        self.assertEqual(model.get(f"{architecture}.rope.scaling.attn_factor"), SCALE)
        self.assertIsNone(model.get(f"{architecture}.rope.scaling.factor"))
        self.assertEqual(model.get(f"{architecture}.context_length"), 4 * self.window)
        for name in ("long", "short"):
            tensor = model.tensors[f"rope_factors_{name}.weight"]
            self.assertEqual(tensor.tensor_type, gguf.GGMLQuantizationType.F32)
            expected = (LISTS[f"{name}_factor"] * self.pairs)[: self.pairs]
            np.testing.assert_array_equal(tensor.data, expected)

    def test_a_folder_becomes_a_file_that_becomes_the_folder_again(self) -> None:
        model = self.exported()
        self.assert_lists(model)
        config = gguf_model.llama_config(model)
        self.assertEqual(config["max_position_embeddings"], 4 * self.window)
        self.assertEqual(config["original_max_position_embeddings"], self.window)
        for name, values in LISTS.items():
            expected = (values * self.pairs)[: self.pairs]
            self.assertEqual(config["rope_scaling"][name], expected)
        again = self.folder / "again"
        again.mkdir()
        gguf_model.write_safetensors(again / "model.safetensors", model, config)
        weights = gguf_writing.read_tensors(self.model)
        back = gguf_writing.read_tensors(again)
        self.assertEqual(weights.keys(), back.keys())
        for name, values in weights.items():
            np.testing.assert_array_equal(back[name], values, err_msg=name)

    def base(self, architecture: str = "llama", **keys: Any) -> Path:
        """A GGUF file that llama.cpp's converter might have made: quantised, with a vocabulary."""
        path = self.folder / "base.gguf"
        writer = gguf.GGUFWriter(path, architecture)
        writer.add_context_length(self.window)
        writer.add_embedding_length(keys.get("width", self.config["hidden_size"]))
        writer.add_block_count(keys.get("layers", self.config["num_hidden_layers"]))
        writer.add_feed_forward_length(self.config["intermediate_size"])
        writer.add_head_count(self.config["num_attention_heads"])
        writer.add_head_count_kv(self.config["num_key_value_heads"])
        writer.add_key_length(self.config["head_dim"])
        writer.add_rope_dimension_count(keys.get("dimension", self.config["head_dim"]))
        writer.add_rope_freq_base(keys.get("theta", self.config.get("rope_theta", 10000.0)))
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(4.0)
        writer.add_token_list(keys.get("tokens", self.tokens))
        if "alignment" in keys:
            writer.add_custom_alignment(keys["alignment"])
        if "parts" in keys:
            writer.add_uint16("split.count", keys["parts"])
        writer.add_array("tokenizer.ggml.scores", [0.0, -1.0, -2.5])
        matrix = np.random.default_rng(5).standard_normal((4, 64)).astype("<f4")
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor("blk.0.ffn_up.weight", gguf.quantize(matrix, kind), raw_dtype=kind)
        writer.add_tensor("output_norm.weight", np.arange(8, dtype="<f4"))
        writer.add_tensor(gguf_writing.ROPE_FREQUENCIES, np.ones(self.pairs, "<f4"))
        gguf_writing.finish(writer)
        return path

    def test_a_copy_keeps_weights_and_vocabulary_and_gets_another_scaling(self) -> None:
        for architecture in gguf_writing.LONGROPE_ARCHITECTURES:
            with self.subTest(architecture):
                base = gguf_model.GgufModel(self.base(architecture))
                copy = self.exported("--base", str(base.path), "--force")
                self.assert_lists(copy, architecture)
                self.assertEqual(copy.get("tokenizer.ggml.tokens"), self.tokens)
                self.assertEqual(copy.get("tokenizer.ggml.scores"), [0.0, -1.0, -2.5])
                self.assertNotIn(gguf_writing.ROPE_FREQUENCIES, copy.tensors)
                for name in ("blk.0.ffn_up.weight", "output_norm.weight"):
                    ours, theirs = copy.tensors[name], base.tensors[name]
                    self.assertEqual(ours.tensor_type, theirs.tensor_type)
                    np.testing.assert_array_equal(ours.data, theirs.data)
                    self.assertEqual(list(ours.shape), list(theirs.shape))

    def test_a_copy_is_laid_out_as_its_base(self) -> None:
        base = gguf_model.GgufModel(self.base(alignment=64))
        copy = self.exported("--base", str(base.path))
        self.assert_lists(copy)
        self.assertEqual(copy.get("general.alignment"), 64)
        for tensor in copy.tensors.values():
            self.assertEqual(tensor.data_offset % 64, 0)

    def test_old_checkpoints_and_keys_that_are_null_are_understood(self) -> None:
        name = "model.layers.0.self_attn.rotary_emb.inv_freq"
        header = json.dumps({name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
        (self.model / "more.safetensors").write_bytes(
            len(header).to_bytes(8, "little") + header + np.ones(2, "<f4").tobytes()
        )
        config = json.loads((self.model / "config.json").read_text())
        (self.model / "config.json").write_text(json.dumps(config | {"head_dim": None}))
        self.assertNotIn("inv_freq", " ".join(self.exported().tensors))
        del config["vocab_size"]
        (self.model / "config.json").write_text(json.dumps(config))
        done = self.export("--output", str(self.folder / "refused.gguf"))
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("config.json: vocab_size is None, no number", done.stderr)

    def test_what_would_not_be_the_model_under_its_lists_is_refused(self) -> None:
        output = str(self.folder / "refused.gguf")
        for base, told in (
            (lambda: self.base("qwen2"), "llama and phi3 only"),
            (lambda: self.base(dimension=6), "3 rotary pairs, and the lists have"),
            (lambda: self.base(theta=20000.0), "rope.freq_base = 20000.0"),
            (lambda: self.base(parts=2), "one of 2 parts of a model"),
            (lambda: self.base(width=128), "llama.embedding_length = 128, but hidden_size = "),
            (lambda: self.base(layers=9), "llama.block_count = 9, but num_hidden_layers = "),
            (lambda: self.base(tokens=["a"]), "the vocabulary = 1, but vocab_size = "),
            (lambda: self.folder / "none.gguf", "cannot read"),
        ):
            with self.subTest(told):
                done = self.export("--output", output, "--base", str(base()))
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(told, done.stderr)
                self.assertFalse(Path(output).exists())

    def test_a_folder_without_lists_and_a_file_that_exists_are_refused(self) -> None:
        output = self.folder / "there.gguf"
        output.write_bytes(b"mine")
        done = self.export("--output", str(output))
        self.assertEqual(done.returncode, 1)
        self.assertIn("exists already; --force replaces it", done.stderr)
        self.assertEqual(output.read_bytes(), b"mine")
        (self.model / "config.json").write_text(json.dumps(self.config))
        done = self.export("--output", str(self.folder / "new.gguf"))
        self.assertEqual(done.returncode, 1)
        self.assertIn('no scaling of type "longrope"', done.stderr)

    def test_a_file_that_is_not_what_was_meant_is_told(self) -> None:
        path = self.folder / "model.gguf"
        rope = gguf_writing.read_longrope(self.model)
        gguf_writing.write_llama(
            path, self.model, 4 * self.window, lambda w: gguf_writing.add_longrope(w, rope)
        )
        export_gguf.check_written(path, rope, None)
        data = path.read_bytes()
        wanted = rope.long_factors.astype("<f4").tobytes()
        other = np.nextafter(rope.long_factors.astype("<f4"), np.float32(9)).tobytes()
        self.assertEqual(data.count(wanted), 1)
        path.write_bytes(data.replace(wanted, other))
        with self.assertRaisesRegex(gguf_model.GgufError, "rope_factors_long.weight reads back"):
            export_gguf.check_written(path, rope, None)

    def test_the_attention_scale_is_the_one_that_engines_assume_where_none_is_said(self) -> None:
        factors = {name: (values * self.pairs)[: self.pairs] for name, values in LISTS.items()}
        self.write_config(rope_scaling={"type": "longrope", **factors})
        rope = gguf_writing.read_longrope(self.model)
        expected = np.sqrt(1 + np.log(4) / np.log(self.window))
        self.assertAlmostEqual(rope.attention_scale, expected, places=12)


if __name__ == "__main__":
    unittest.main()
