from __future__ import annotations

from pathlib import Path

import pytest
import torch

from article_loop import ROWS, WINDOW, ArticleLoop
from charloom.bundle import ModelShape
from charloom.runtime.evaluation import evaluate_segments
from charloom.settings import CorpusSettings
from charloom.text.corpus import CorpusSource
from charloom.training.data import TrainingData, prepare_data
from charloom.training.model import CharacterModel
from charloom.training.torch_session import TorchSession

HIDDEN = 12


def prepared(path: Path) -> TrainingData:
    settings = CorpusSettings(clean=["article"], validation_split="row-tail")
    return prepare_data(CorpusSource([str(path)]), settings, lambda event: None)


@pytest.fixture(scope="module")
def data(prose: Path) -> TrainingData:
    return prepared(prose)


def loop_of(data: TrainingData) -> ArticleLoop:
    return ArticleLoop(data.split.train, data.split.validation, data.vocabulary.size, HIDDEN)


@pytest.mark.slow
def test_the_loss_falls(data: TrainingData) -> None:
    loop = loop_of(data)
    before = loop.validation_loss()
    points = loop.run(epochs=4)
    assert before == pytest.approx(torch.log(torch.tensor(float(data.vocabulary.size))).item(), abs=0.1)
    assert [point.epoch for point in points] == [1, 2, 3, 4]
    assert points[-1].loss < points[0].loss < before - 0.3


@pytest.mark.slow
def test_looks_by_time_come_between_epochs_and_cost_no_training_time(data: TrainingData) -> None:
    seen: list[float] = []
    points = loop_of(data).run(epochs=1, evaluate_every=0, watch=lambda point: seen.append(point.epoch))
    steps = loop_of(data).windows_per_epoch
    assert seen == [point.epoch for point in points] == pytest.approx([(i + 1) / steps for i in range(steps)])
    assert 0 < points[-1].seconds < points[-1].wall_seconds


def test_validation_is_our_cold_60(data: TrainingData) -> None:
    loop = loop_of(data)
    shape = ModelShape(
        cell="lstm",
        vocab_size=data.vocabulary.size,
        num_layers=2,
        hidden_size=HIDDEN,
        embedding_size=0,
        dropout=0.2,
    )
    ours = CharacterModel(shape)
    weights = loop.network.state_dict()
    ours.load_state_dict({name.replace("lstm.", "recurrent."): tensor for name, tensor in weights.items()})
    evaluation = evaluate_segments(TorchSession(ours), data.vocabulary, data.split.validation, "cold-60")
    assert evaluation.characters == loop.validation_characters
    assert evaluation.loss == pytest.approx(loop.validation_loss(), abs=1e-6)


def test_rows_roll_by_one_an_epoch(data: TrainingData) -> None:
    loop = loop_of(data)
    first, second = (list(loop.windows(epoch)) for epoch in (0, 1))
    assert len(first) == loop.windows_per_epoch
    row = data.split.train[5].ids.astype("int64")
    assert first[0][0].shape == (ROWS, WINDOW)
    assert first[1][0][5].tolist() == row[WINDOW : 2 * WINDOW].tolist()
    assert first[1][1][5].tolist() == row[WINDOW + 1 : 2 * WINDOW + 1].tolist()
    assert second[1][0][5].tolist() == row[WINDOW + 1 : 2 * WINDOW + 1].tolist()
    assert second[-1][0][5, -1] == row[0]
    assert second[-1][1][5, -1] == row[1]


def test_the_articles_counts(shakespeare: Path) -> None:
    data = prepared(shakespeare)
    loop = ArticleLoop(data.split.train, data.split.validation, data.vocabulary.size)
    assert data.record.characters == 894_876
    assert data.vocabulary.size == 38
    assert (loop.training_characters, loop.validation_characters) == (806_400, 88_320)
    assert loop.windows_per_epoch == 210
    assert sum(weights.numel() for weights in loop.network.parameters()) == 3_251_238
