# SPDX-License-Identifier: Apache-2.0
"""Checks that other programs read the history: h5py, pandas and h5dump.

Usage: WRITE_SAMPLE_HISTORY=build/release/write_sample_history \
       python tests/run_python_test.py tests/integration/read_history_test.py
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy
import pandas


def text(value: bytes) -> str:
    """Fixed-length UTF-8 arrives as bytes."""
    return value.decode("utf-8")


class ReadHistory(unittest.TestCase):
    """Each test reads the same sample, which has something in every part of the format."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name) / "search.h5"
        subprocess.run([os.environ["WRITE_SAMPLE_HISTORY"], cls.path], check=True)
        cls.file = h5py.File(cls.path, "r")
        cls.stage = cls.file["stages/2048"]

    @classmethod
    def tearDownClass(cls) -> None:
        cls.file.close()
        cls.folder.cleanup()

    def test_root_attributes(self) -> None:
        attributes = self.file.attrs
        self.assertEqual(text(attributes["format"]), "longrope-history")
        self.assertEqual(attributes["format_version"], 4)
        self.assertEqual(attributes["seed"], 18_000_000_000_000_000_000)
        self.assertEqual(attributes["seed"].dtype, numpy.uint64)
        self.assertEqual(text(attributes["configuration"]), "# größer\n[run]\nseed = 42\n")
        self.assertEqual(text(attributes["state_legend"][attributes["state"]]), "stopped_early")
        self.assertEqual(text(self.file["identity"].attrs["stage.2048.population"]), "64")
        self.assertEqual(text(self.file["identity"].attrs["empty"]), "")

    def test_evaluations_become_a_data_frame(self) -> None:
        dataset = self.stage["evaluations"]
        frame = pandas.DataFrame(dataset[:])
        self.assertEqual(list(frame["individual"]), list(range(10)))
        self.assertEqual(len(frame.columns), len(dataset.attrs["column_units"]))
        self.assertEqual(len(frame.columns), len(dataset.attrs["column_descriptions"]))
        status = [text(name) for name in dataset.attrs["status_legend"]]
        frame["status"] = frame["status"].map(dict(enumerate(status)))
        self.assertEqual(list(frame["status"][2:5]), ["done", "failed", "skipped"])
        done = frame[frame["status"] == "done"]
        numpy.testing.assert_allclose(done["perplexity"], numpy.exp(done["mean_nll"]))
        self.assertTrue(math.isinf(frame["perplexity"][3]))
        self.assertTrue(math.isnan(frame["perplexity"][4]))
        started = pandas.to_datetime(frame["started"][0], unit="ns", utc=True)
        self.assertEqual(started.year, 2023)

    def test_matrices_fit_the_table(self) -> None:
        for group in (self.stage, self.stage["baselines"], self.stage["heldout"]):
            name = "evaluations" if group is self.stage else "scores"
            rows = len(group[name])
            documents = len(group["document_index"])
            self.assertEqual(group["factors"].shape, (rows, 6))
            self.assertEqual(group["document_nll"].shape, (rows, documents))
            self.assertEqual(group["document_status"].shape, (rows, documents))
            self.assertEqual(group["factors"].dtype, numpy.dtype("<f8"))
            self.assertEqual(group["document_status"].dtype, numpy.dtype("u1"))
            # A row's score is the sum over its documents.
            for row, nll, status in zip(
                group[name][:], group["document_nll"][:], group["document_status"][:], strict=True
            ):
                if row["status"] == 1:
                    self.assertTrue((status == 1).all())
                    self.assertAlmostEqual(row["mean_nll"], nll.sum() / row["tokens"])

    def test_dimension_scales(self) -> None:
        factors = self.stage["factors"]
        self.assertEqual(factors.dims[0].keys(), ["individual"])
        self.assertEqual(factors.dims[1].keys(), ["dimension"])
        nll = self.stage["document_nll"]
        self.assertEqual(list(nll.dims[1]["document_index"]), [7, 9, 11])
        self.assertEqual(text(nll.dims[1]["document_title"][1]), "Die Verwandlung – größer")
        self.assertEqual(text(nll.attrs["units"]), "nat")
        self.assertTrue(text(nll.attrs["long_name"]))
        self.assertTrue(text(nll.attrs["description"]))
        baselines = self.stage["baselines/document_nll"]
        names = [text(name) for name in baselines.dims[0]["name"][:]]
        self.assertEqual(names, ["none", "pi", "ntk", "yarn"])

    def test_every_dataset_explains_itself(self) -> None:
        def check(name: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset):
                self.assertIn("long_name", item.attrs, name)
                self.assertIn("description", item.attrs, name)

        self.file.visititems(check)

    def test_default_plot_is_found_by_following_attributes(self) -> None:
        group = self.file
        while "default" in group.attrs:
            group = group[text(group.attrs["default"])]
        self.assertEqual(group.name, "/stages/2048/plots/best_perplexity")
        self.assertEqual(text(group.attrs["NX_class"]), "NXdata")
        signal = group[text(group.attrs["signal"])]
        axis = group[text(group.attrs["axes"][0])]
        self.assertEqual(signal.shape, axis.shape)
        self.assertTrue((numpy.diff(signal[:]) <= 0).all())
        factors = self.stage["plots/factors"]
        signal = factors[text(factors.attrs["signal"])]
        self.assertEqual(list(signal[:]), list(self.stage["best/factors"][:]))

    def test_tables_of_texts(self) -> None:
        failures = self.stage["failures"][:]
        self.assertIn("größer", text(failures["reason"][0]))
        self.assertEqual(text(failures["reason"][1]), "")
        self.assertEqual(text(self.file["workers"]["device"][1]), "NVIDIA H100")

    @unittest.skipUnless(shutil.which("h5dump"), "h5dump is not installed")
    def test_h5dump(self) -> None:
        header = subprocess.run(
            ["h5dump", "-B", "-H", self.path], check=True, capture_output=True, text=True
        ).stdout
        self.assertIn("SUPERBLOCK_VERSION 2", header)
        data = subprocess.run(
            ["h5dump", "-d", "/stages/2048/evaluations", self.path],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        self.assertIn("H5T_COMPOUND", data)


if __name__ == "__main__":
    unittest.main()
