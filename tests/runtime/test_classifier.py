from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest

import charloom
from charloom.errors import CorpusError, ModelDirectoryError
from charloom.runtime.classifier import posterior
from charloom.runtime.confusion import Confusion

UNICODE = 0x110000 - 0x800  # characters: code points without surrogates


def learn(folder: Path, name: str, text: str, steps: int = 30, **options: object) -> Path:
    (folder / f"{name}.txt").write_text(text, "utf-8")
    charloom.train(
        folder / f"{name}.txt", folder / name, steps=steps, hidden_size=8, batch_size=4, bptt=20, threads=1,
        precision="float32", **options,  # type: ignore[arg-type]
    )  # fmt: skip
    return folder / name


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of texts of different letters; only `digits` knows digits."""
    folder = tmp_path_factory.mktemp("three")
    texts = {"vowels": "aeiou\nabe\nioe\n" * 60, "stops": "bdg\nkat\npab\n" * 60, "digits": "a12\nb45\n90e\n" * 60}
    return {name: learn(folder, name, text) for name, text in texts.items()}


def by_hand(model: Path, text: str) -> float:
    """−ln p of a line and its end, character by character; one that the model lacks is one of Unicode's."""
    loaded = charloom.load(model)
    found = loaded.score(text + "\n", per_char=True).per_char
    assert found is not None
    known = {letter for letter in text + "\n" if not loaded.vocabulary.unknown_characters(letter)}
    return sum(bits * math.log(2) if letter in known else math.log(UNICODE) for letter, bits in found)


@pytest.mark.parametrize("prior", ["uniform", {"vowels": 0.7, "stops": 0.1}])
@pytest.mark.parametrize("text", ["abe", "kat", "b45", "世kat", "", "zzz"])
def test_bayes_by_hand(three: dict[str, Path], text: str, prior: str | dict[str, float]) -> None:
    classifier = charloom.Classifier(three, prior=prior)
    before = dict.fromkeys(three, 1 / 3) if prior == "uniform" else {"vowels": 0.7, "stops": 0.1, "digits": 0.2}
    found = classifier.classify(text)
    if not text:
        assert found.best is None
        assert found.probabilities == pytest.approx(before)
        return
    joint = {name: before[name] * math.exp(-by_hand(three[name], text)) for name in three}
    expected = {name: value / sum(joint.values()) for name, value in joint.items()}
    assert found.probabilities == pytest.approx(expected, rel=1e-6)
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-12)
    assert found.best == max(expected, key=expected.__getitem__)


def test_an_unknown_character_costs_the_same_in_every_model(three: dict[str, Path]) -> None:
    plain, strange = charloom.Classifier(three).classify_texts(["abe", "世"])
    assert plain.unknown == 0
    assert strange.unknown == 1
    ends = {name: by_hand(path, "世") - math.log(UNICODE) for name, path in three.items()}
    for name in three:
        assert strange.nats[name] == pytest.approx(math.log(UNICODE) + ends[name])


def test_order_and_company_change_nothing(three: dict[str, Path]) -> None:
    classifier = charloom.Classifier(three)
    texts = ["abe", "", "kat", "abe", "9" * 300, "b45"] * 300
    found = list(classifier.classify_texts(iter(texts)))
    assert [one.text for one in found] == texts
    alone = {text: classifier.classify(text) for text in set(texts)}
    assert all(one == alone[one.text] for one in found)


def test_it_is_lazy(three: dict[str, Path]) -> None:
    def endless() -> object:
        while True:
            yield "abe"

    found = charloom.Classifier(three).classify_texts(endless())  # type: ignore[arg-type]
    assert next(found).best == "vowels"


def test_posterior_of_far_and_equal_texts() -> None:
    assert posterior({"a": 0.5, "b": 0.5}, {"a": 1e6, "b": 1e6 + 5000}) == {"a": 1.0, "b": 0.0}
    assert posterior({"a": 0.5, "b": 0.5}, {"a": 3.0, "b": 3.0}) == {"a": 0.5, "b": 0.5}
    assert posterior({"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 900.0}) == {"a": 0.0, "b": 1.0}


def test_of_equals_the_first(three: dict[str, Path]) -> None:
    found = charloom.Classifier({"one": three["vowels"], "two": three["vowels"]}).classify("abe")
    assert found.probabilities == {"one": 0.5, "two": 0.5}
    assert found.best == "one"


@pytest.mark.parametrize(
    ("prior", "says"),
    [
        ("sizes", "do not say how many lines"),
        ("large", "uniform, sizes"),
        ({"klingon": 0.5}, "klingon"),
        ({"vowels": 1.5}, "from 0 to 1"),
        ({"vowels": float("nan")}, "from 0 to 1"),
        ({"vowels": 0.9, "stops": 0.9}, "add up to 1.8"),
        ({"vowels": 0.1, "stops": 0.1, "digits": 0.1}, "add up to 0.3"),
    ],
)
def test_priors_that_are_none(three: dict[str, Path], prior: object, says: str) -> None:
    with pytest.raises(charloom.UsageError, match=says):
        charloom.Classifier(three, prior=prior)  # type: ignore[arg-type]


def test_what_is_no_classifier(three: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(charloom.UsageError, match="two models or more"):
        charloom.Classifier(three["vowels"])
    with pytest.raises(charloom.UsageError, match="two models are called vowels"):
        charloom.Classifier([three["vowels"], three["vowels"]])
    with pytest.raises(ModelDirectoryError, match="no such model directory"):
        charloom.Classifier([three["vowels"], tmp_path / "none"])
    lower = learn(tmp_path, "lower", "ABC\nabc\n" * 60, clean=["lowercase"])
    with pytest.raises(charloom.UsageError, match="cleaned with nothing and lower with lowercase"):
        charloom.Classifier([three["vowels"], lower])


@pytest.mark.slow
def test_bytes_and_characters_together(three: dict[str, Path], tmp_path: Path) -> None:
    as_bytes = learn(tmp_path, "bytes", "世界\n世人\n" * 60, steps=200, vocabulary="bytes")
    classifier = charloom.Classifier([three["stops"], as_bytes])
    assert classifier.classify("世界").best == "bytes"
    assert classifier.classify("kat").best == "stops"
    assert classifier.classify("世界").unknown == 0


def test_line_ends_count_only_where_all_models_know_them(three: dict[str, Path], tmp_path: Path) -> None:
    endless = learn(tmp_path, "endless", "abeiou" * 200)
    found = charloom.Classifier([three["vowels"], endless]).classify("abe")
    assert found.nats["vowels"] == pytest.approx(charloom.load(three["vowels"]).score("abe").nats)
    assert found.characters == 3


def test_files_and_labels(three: dict[str, Path], tmp_path: Path) -> None:
    classifier = charloom.Classifier(three)
    first = tmp_path / "first.tsv"
    first.write_text("vowels\tabe\n\nstops\tkat\nstops\tioe\n")
    last = tmp_path / "last.tsv"
    last.write_text("abe\tvowels\n\nkat\tstops\nioe\tstops\n")
    by_class = tmp_path / "by-class"
    (by_class / "stops").mkdir(parents=True)
    (by_class / "vowels.txt").write_text("abe\n")
    (by_class / "stops" / "one.txt").write_text("kat\n")
    (by_class / "stops" / "two.txt").write_text("ioe\n")
    for file, labels in ((first, "first"), (last, "last")):
        found = list(classifier.classify_files(file, labels=labels))  # type: ignore[arg-type]
        assert [(one.label, one.text, one.line) for one in found] == [
            ("vowels", "abe", 1), (None, "", 2), ("stops", "kat", 3), ("stops", "ioe", 4),
        ]  # fmt: skip
    found = list(classifier.classify_files(by_class, labels="file"))
    assert [(one.label, one.text) for one in found] == [("stops", "kat\n"), ("stops", "ioe\n"), ("vowels", "abe\n")]
    assert [one.best for one in found] == ["stops", "vowels", "vowels"]
    (by_class / "klingon.txt").write_text("x\n")
    with pytest.raises(charloom.UsageError, match="'klingon' is none of the classes"):
        list(classifier.classify_files(by_class, labels="file"))
    first.write_text("vowels abe\n")
    with pytest.raises(CorpusError, match=r"first\.tsv, line 1: there is no tab"):
        list(classifier.classify_files(first, labels="first"))


def test_a_long_text_is_read_to_its_limit(three: dict[str, Path], tmp_path: Path) -> None:
    long = tmp_path / "long.txt"
    long.write_text("kat\n" * 70_000 + "9" * 1000)
    (found,) = charloom.Classifier([three["vowels"], three["stops"]]).classify_files(long)
    assert len(found.text) == found.characters == 1 << 18
    assert found.unknown == 0
    assert found.probabilities["stops"] == 1


def test_a_confusion_table() -> None:
    assert Confusion(["a", "b"]).accuracy is None
    table = Confusion(["a", "b"])
    for label, best in (("a", "a"), ("a", "b"), ("b", "b"), ("a", "a"), ("b", None)):
        table.add(label, best)
    assert (table.texts, table.right, table.unread) == (4, 3, 1)
    assert table.accuracy == 0.75
    assert table.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert table.recall("a") == pytest.approx(2 / 3)
    assert table.precision("b") == 0.5


def test_sent_to_another_process_it_says_the_same(three: dict[str, Path]) -> None:
    classifier = charloom.Classifier(three, prior={"vowels": 0.7}, precision="float32")
    sent = pickle.dumps(classifier)
    assert len(sent) < 2000
    again = pickle.loads(sent)  # noqa: S301  (made here)
    assert (again.classes, again.prior) == (classifier.classes, classifier.prior)
    assert list(again.classify_texts(["abe", "kat"])) == list(classifier.classify_texts(["abe", "kat"]))


def test_what_is_no_text_and_no_place_of_labels(three: dict[str, Path], tmp_path: Path) -> None:
    classifier = charloom.Classifier(three)
    with pytest.raises(charloom.UsageError, match="is not several texts"):
        classifier.classify_texts("abe")
    with pytest.raises(charloom.UsageError, match="5 is not a text"):
        classifier.classify(5)  # type: ignore[arg-type]
    with pytest.raises(charloom.UsageError, match="choose first, last or file"):
        classifier.classify_files(tmp_path, labels="second")  # type: ignore[arg-type]
    with pytest.raises(charloom.UsageError, match="None is not a path"):
        charloom.Classifier(None)  # type: ignore[arg-type]
    with pytest.raises(charloom.UsageError, match="from 0 to 1"):
        charloom.Classifier(three, prior={"vowels": "much"})  # type: ignore[dict-item]
