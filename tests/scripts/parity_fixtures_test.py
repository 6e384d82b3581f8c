# SPDX-License-Identifier: Apache-2.0
"""Usage: python -m unittest discover -s tests/scripts -p "*_test.py"  (in the repository root)

What is committed in tests/fixtures must be what its README says; PyTorch is not needed for that.
"""

import json
import math
import struct
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import record_parity_fixtures as recorder  # noqa: E402

FIXTURES = ROOT / "tests" / "fixtures"


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of a model folder, from the safetensors headers."""
    shapes = {}
    for path in sorted(folder.glob("*.safetensors")):
        data = path.read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + size])
        header.pop("__metadata__", None)
        shapes |= {name: tuple(entry["shape"]) for name, entry in header.items()}
    return shapes


class FormulaTest(unittest.TestCase):
    def test_yarn_ramps_between_the_published_bounds(self) -> None:
        # LLaMA2: dimension 128, theta 10,000, window 4,096 gives a ramp from pair 20 to pair 46.
        factors = recorder.yarn_factors(10000.0, 128, 4096, 32.0)
        self.assertTrue((factors[:21] == 1).all())
        self.assertGreater(factors[21], 1)
        self.assertLess(factors[45], 32)
        self.assertTrue((factors[46:] == 32).all())
        self.assertAlmostEqual(factors[32], 32 / (32 * (1 - 12 / 26) + 12 / 26), places=12)

    def test_ntk_leaves_the_first_pair_and_stretches_the_last_one_fully(self) -> None:
        factors = recorder.standard_ropes(10000.0, 32, 256, 8.0)["ntk"].factors
        self.assertAlmostEqual(factors[0], 1.0)
        self.assertAlmostEqual(factors[-1], 8.0)


class FixturesTest(unittest.TestCase):
    def models(self) -> list[tuple[str, Path, int, int, int, float]]:
        """Name, folder, positions, BOS, rotary pairs and theta of each recorded model."""
        tiny = [
            (t.name, FIXTURES / "models" / t.name, recorder.TINY_SCALE * t.window)
            + (t.bos_token_id, t.rotary_dim // 2, t.theta)
            for t in recorder.TINY_MODELS
        ]
        return [("demo", ROOT / "models" / "demo", 2048, 0, 16, 10000.0), *tiny]

    def test_each_row_belongs_to_a_document_that_is_long_enough(self) -> None:
        for name, folder, positions, bos, pairs, theta in self.models():
            vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
            with (
                self.subTest(name),
                h5py.File(FIXTURES / "parity" / f"{name}_documents.h5") as documents,
                h5py.File(FIXTURES / "parity" / f"{name}_nll.h5") as recorded,
            ):
                lengths = np.diff(documents["offsets"][:])
                self.assertEqual(documents.attrs["bos_token_id"], bos)
                self.assertGreaterEqual(lengths.min(), positions - (bos >= 0))
                self.assertEqual(len(documents["titles"]), len(lengths))
                self.assertEqual(documents["split"][:].tolist(), [0] * len(lengths))
                self.assertLess(documents["tokens"][:].max(), vocabulary)
                fourth = "ntk" if name == "demo" else "custom"
                scaled = {tiny.name for tiny in recorder.TINY_MODELS if tiny.scaling}
                own = {"model"} if name in scaled else set()
                self.assertEqual(set(recorded), {"none", "linear", "yarn", fourth} | own)
                for method, group in recorded.items():
                    nll = group[f"{positions}/nll"]
                    self.assertEqual(nll.dtype, np.dtype("<f4"))
                    self.assertEqual(nll.shape, (len(lengths), positions - 1))
                    self.assertTrue((nll[:] >= 0).all(), f"{method} has a NaN or a negative value")
                    self.assertEqual(group["factors"].shape, (pairs,))
                    self.assertEqual(group.attrs["rope_theta"], theta)
                yarn = recorded["yarn"].attrs["attention_scale"]
                scale = 8 if name == "demo" else recorder.TINY_SCALE
                self.assertAlmostEqual(yarn, 0.1 * math.log(scale) + 1)
                self.assertEqual(recorded["none"].attrs["attention_scale"], 1.0)
                self.assertEqual(recorded["none"].attrs["start_tokens"], 0)

    def test_the_tiny_models_have_the_shapes_that_they_are_for(self) -> None:
        for tiny in recorder.TINY_MODELS:
            folder = FIXTURES / "models" / tiny.name
            shapes = tensor_shapes(folder)
            layer = "model.layers.0.self_attn."
            with self.subTest(tiny.name):
                config = json.loads(json.dumps(tiny.config()))  # its tuples as lists
                self.assertEqual(json.loads((folder / "config.json").read_text()), config)
                self.assertEqual(len(list(folder.glob("*.safetensors"))), tiny.shards)
                self.assertEqual("lm_head.weight" in shapes, not tiny.tied)
                queries = tiny.heads * tiny.head_dim
                keys = tiny.kv_heads * tiny.head_dim
                if tiny.family.fused:
                    projections = {"qkv_proj": queries + 2 * keys}
                else:
                    projections = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
                for name, rows in projections.items():
                    self.assertEqual(shapes[layer + name + ".weight"], (rows, tiny.hidden))
                biases = {name for name in shapes if name.endswith(".bias")}
                self.assertEqual(len(biases), len(tiny.family.biases) * tiny.layers)
                self.assertEqual(layer + "q_norm.weight" in shapes, tiny.family.head_norms)
                size = sum(path.stat().st_size for path in folder.iterdir())
                self.assertLess(size, 250_000)

    def test_the_index_of_the_sharded_model_names_every_tensor(self) -> None:
        folder = FIXTURES / "models" / "tiny-untied-sharded"
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        self.assertEqual(set(index["weight_map"]), set(tensor_shapes(folder)))
        files = {path.name for path in folder.glob("*.safetensors")}
        self.assertEqual(set(index["weight_map"].values()), files)


if __name__ == "__main__":
    unittest.main()
