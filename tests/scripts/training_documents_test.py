# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/training_documents_test.py"""

import hashlib
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts"), str(Path(__file__).parent)]

import tokenize_documents  # noqa: E402
import training_documents  # noqa: E402
from tokenize_documents import DocumentsError  # noqa: E402
from tokenize_documents_test import word_tokenizer, words  # noqa: E402
from training_documents import Segments, TrainingText, TrainingTokens  # noqa: E402

BOS, EOS = 0, 1999


class TrainingDocumentsTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "deep" / "train.h5"

    def tokens(self, *lengths: int, bos: bool = True) -> TrainingTokens:
        """Texts of these lengths; the tokens of all of them count up from 1."""
        tokenizer = self.folder / "tokenizer.json"
        word_tokenizer(2000, adds_bos=bos).save(str(tokenizer))
        first = np.cumsum([1, *lengths])
        texts = (
            TrainingText(f"text {n}", words(first[n], length), "here", f"licence {n % 2}")
            for n, length in enumerate(lengths)
        )
        count = training_documents.write_training_documents(self.file, tokenizer, texts)
        self.assertEqual(count, (len(lengths), sum(lengths)))
        opened = TrainingTokens(self.file)
        self.addCleanup(opened.close)
        return opened


class Writing(TrainingDocumentsTest):
    def test_a_file_holds_whole_texts_of_the_split_train(self) -> None:
        lengths = [5] * 70 + [0, 40]  # more than are tokenized at once, and an empty one
        tokens = self.tokens(*lengths)
        self.assertEqual((len(tokens), tokens.documents, tokens.bos_id), (390, 72, BOS))
        with h5py.File(self.file) as file:
            self.assertEqual(file["tokens"][:].tolist(), list(range(1, 391)))
            self.assertEqual(file["offsets"][:].tolist(), np.cumsum([0, *lengths]).tolist())
            self.assertEqual(set(file["split"][:]), {training_documents.TRAIN_SPLIT})
            self.assertIn(b"3 train", file["split"].attrs["legend"])
            self.assertEqual(file["titles"][3], b"text 3")
            self.assertEqual(
                file.attrs["tokens_sha256"].decode(),
                hashlib.sha256(file["tokens"][:].astype("<i4").tobytes()).hexdigest(),
            )
            self.assertEqual(file.attrs["sources"], b"here")
            self.assertEqual(file.attrs["licences"], b"licence 0\nlicence 1")

    def test_nothing_is_left_where_there_is_no_text(self) -> None:
        with self.assertRaisesRegex(DocumentsError, "the texts have no tokens"):
            self.tokens(0, 0)
        self.assertEqual(list(self.file.parent.iterdir()), [])


class Reading(TrainingDocumentsTest):
    def test_documents_of_a_search_are_refused(self) -> None:
        other = self.folder / "search.h5"
        attributes = {"bos_token_id": 0, "tokenizer_sha256": "x", "text_sha256": "x"}
        ids = [np.arange(4, dtype="<i4")] * 2
        tokenize_documents.write_tokens(other, ids, ["a", "b"], [0, 1], attributes)
        with self.assertRaisesRegex(DocumentsError, "2 documents that are not of the split train"):
            TrainingTokens(other)

    def test_what_is_no_documents_file_is_named(self) -> None:
        with self.assertRaisesRegex(DocumentsError, "none.h5: there is no such file; scripts/"):
            TrainingTokens(self.folder / "none.h5")
        text = self.folder / "text.h5"
        text.write_text("text")
        with self.assertRaisesRegex(DocumentsError, "cannot read the training documents"):
            TrainingTokens(text)
        with h5py.File(self.folder / "empty.h5", "w"):
            pass
        with self.assertRaisesRegex(DocumentsError, "it is no documents file"):
            TrainingTokens(self.folder / "empty.h5")


class Cutting(TrainingDocumentsTest):
    def test_an_epoch_has_each_stretch_once_between_bos_and_eos(self) -> None:
        tokens = self.tokens(100)
        for seed in range(20):
            with self.subTest(seed=seed):
                segments = Segments(tokens, 12, EOS, seed)
                self.assertEqual((segments.stretch_tokens, segments.per_epoch), (10, 9))
                for epoch in range(2):
                    cut = [segments.segment(epoch * 9 + n).tolist() for n in range(9)]
                    self.assertTrue(all((s[0], s[-1], len(s)) == (BOS, EOS, 12) for s in cut))
                    inside = sorted(id for s in cut for id in s[1:-1])
                    self.assertEqual(inside, list(range(inside[0], inside[0] + 90)))

    def test_epochs_and_seeds_differ_in_offset_and_order(self) -> None:
        tokens = self.tokens(1000)
        seen = {
            tuple(Segments(tokens, 11, None, seed).segment(epoch * 99).tolist())
            for seed in range(5)
            for epoch in range(5)
        }
        self.assertGreater(len(seen), 20)

    def test_special_tokens_a_model_lacks_are_left_out(self) -> None:
        plain = Segments(self.tokens(50, bos=False), 10, None, 1).segment(0)
        self.assertEqual(plain.tolist(), list(range(plain[0], plain[0] + 10)))
        with_bos = Segments(self.tokens(50), 10, None, 1).segment(0)
        self.assertEqual((with_bos[0], len(with_bos)), (BOS, 10))

    def test_texts_are_separated_inside_a_segment(self) -> None:
        tokens = self.tokens(5, 0, 10, 20)
        between = [EOS, BOS]
        self.assertEqual(
            tokens.stretch(2, 16, between).tolist(),
            [3, 4, 5, EOS, BOS, *range(6, 16), EOS],
        )
        # A text that begins with the stretch follows its BOS, one that ends with it precedes EOS.
        self.assertEqual(tokens.stretch(5, 10, between).tolist(), list(range(6, 16)))
        self.assertEqual(tokens.stretch(0, 8, []).tolist(), list(range(1, 9)))

    def test_the_processes_of_a_step_share_its_batch(self) -> None:
        segments = Segments(self.tokens(1000), 11, None, 3)
        whole = segments.batch(7, 4)
        self.assertEqual(len({tuple(segment) for segment in whole}), 4)
        for processes in (1, 2, 4):
            parts = [segments.batch(7, 4, of, processes) for of in range(processes)]
            together = [parts[n % processes][n // processes] for n in range(4)]
            np.testing.assert_array_equal(together, whole)

    def test_a_text_that_is_too_short_is_refused(self) -> None:
        tokens = self.tokens(19)
        with self.assertRaisesRegex(DocumentsError, "19 tokens, too few .* 20 are needed"):
            Segments(tokens, 12, EOS, 1)
        with self.assertRaisesRegex(DocumentsError, "segments of 2 tokens are too short"):
            Segments(tokens, 2, EOS, 1)


if __name__ == "__main__":
    unittest.main()
