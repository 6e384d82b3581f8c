# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/finetune_device_test.py

A stand-in says what PyTorch would see.
"""

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from finetune_device import DeviceError, choose_device, describe, granted_gpus  # noqa: E402


def torch_with(gpus: int, cuda: str | None = "12.8") -> SimpleNamespace:
    return SimpleNamespace(
        __version__="2.9.0",
        version=SimpleNamespace(cuda=cuda),
        device=lambda kind, index=None: SimpleNamespace(type=kind, index=index),
        cuda=SimpleNamespace(
            is_available=lambda: gpus > 0,
            device_count=lambda: gpus,
            get_device_name=lambda device: f"GPU {device.index}",
        ),
    )


class Device(unittest.TestCase):
    def test_each_process_of_a_node_takes_a_gpu_of_its_own(self) -> None:
        torch = torch_with(4)
        for environment, index in (({}, 0), ({"LOCAL_RANK": "3"}, 3)):
            device = choose_device("auto", torch, environment)
            self.assertEqual((device.type, device.index), ("cuda", index))
            self.assertEqual(describe(device, torch, 4), f"device:    GPU {index}, 4 processes")
        with self.assertRaisesRegex(DeviceError, "process 4 of this node .* PyTorch sees 4"):
            choose_device("auto", torch, {"LOCAL_RANK": "4"})

    def test_the_cpu_is_taken_where_no_gpu_was_granted_or_it_is_asked_for(self) -> None:
        granted = {"SLURM_GPUS_ON_NODE": "8"}
        for wanted, gpus, environment in (
            ("auto", 0, {}),
            ("cpu", 0, granted),
            ("cpu", 2, {}),
        ):
            torch = torch_with(gpus)
            device = choose_device(wanted, torch, environment)
            self.assertEqual(describe(device, torch, 1), "device:    CPU, 1 process")

    def test_gpus_that_were_granted_and_cannot_be_had_are_an_error(self) -> None:
        for wanted, environment, told in (
            ("auto", {"SLURM_GPUS_ON_NODE": "8"}, "^SLURM_GPUS_ON_NODE=8, but PyTorch sees no"),
            ("auto", {"CUDA_VISIBLE_DEVICES": "0,1"}, "^CUDA_VISIBLE_DEVICES=0,1, but"),
            ("cuda", {}, "^--device cuda, but"),
        ):
            with self.assertRaisesRegex(DeviceError, told):
                choose_device(wanted, torch_with(0), environment)
        with self.assertRaisesRegex(DeviceError, "a build without CUDA.*--device cpu"):
            choose_device("cuda", torch_with(0, None), {})
        with self.assertRaisesRegex(DeviceError, "built for CUDA 12.8; the driver may be older"):
            choose_device("cuda", torch_with(0), {})

    def test_variables_that_name_no_device_grant_none(self) -> None:
        for environment in (
            {},
            {"SLURM_GPUS_ON_NODE": "0"},
            {"SLURM_GPUS_ON_NODE": ""},
            {"CUDA_VISIBLE_DEVICES": ""},
            {"CUDA_VISIBLE_DEVICES": "-1"},
            {"CUDA_VISIBLE_DEVICES": "NoDevFiles"},
        ):
            self.assertIsNone(granted_gpus(environment), environment)
        self.assertIsNotNone(granted_gpus({"CUDA_VISIBLE_DEVICES": "GPU-8932f937"}))


if __name__ == "__main__":
    unittest.main()
