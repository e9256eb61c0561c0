import pytest

from engine.report.answer import answer, cross_validated

COUNTS, CLASSES = {"train": 244, "val": 153, "test": 360}, ["ants", "bees"]
BOTH = {"val/acc": 144 / 153, "val/loss": 0.2, "best/val/acc": 147 / 153, "best/epoch": 3, "epochs": 25}


def said(metrics: dict[str, object], monitor: str | None = "val/acc", **changed: object) -> str:
    settings = {"counts": COUNTS, "classes": CLASSES, "several": False, **changed}
    return answer(metrics, settings.pop("best", {}), monitor=monitor, **settings)  # type: ignore[arg-type]


def test_the_best_epoch_is_labelled_and_never_alone() -> None:
    assert said(BOTH) == (
        "val/acc 96.1% of 153 (95 % interval 91.7% to 98.2%) – best epoch (3), selected on these validation examples "
        "by val/acc; val/acc 94.1% of 153 (95 % interval 89.2% to 96.9%) – last epoch (25), which was "
        "not selected."
    )
    one = said(BOTH | {"epochs": 3})
    assert one.count("val/acc 96.1%") == 1
    assert "best epoch (3, also the last), selected on these" in one
    once = said(BOTH | {"epochs": 3}, once=True)
    assert once == "val/acc 96.1% of 153 (95 % interval 91.7% to 98.2%) – epoch 3, the only one validated."


def test_a_test_comes_first() -> None:
    metrics = {"test/acc": 0.975, "test/loss": 0.1, "val/acc": 0.95, "best/val/loss": 0.1, "best/epoch": 5}
    text = said(metrics, "val/loss", best={"val/acc": 0.96, "val/loss": 0.1})
    assert text.startswith("test/acc 97.5% of 360 (95 % interval 95.3% to 98.7%) – epoch 5, the best by val/loss; ")
    assert "val/acc 0.96 – best epoch (5), selected" in text


def test_a_cross_validation_has_an_interval_of_its_own() -> None:
    metrics = {"val/acc": 0.962, "val/acc_low": 0.94, "val/acc_high": 0.985, "epochs": 1}
    assert "val/acc 96.2% (95 % interval 94.0% to 98.5%) – last epoch (1)." in said(metrics)


def test_what_evaluate_py_said_later() -> None:
    assert cross_validated({}) == ""
    found = {"val/acc": 0.961, "val/acc_low": 0.94, "val/acc_high": 0.98}
    nested = {name.replace("acc", "nested_acc"): value - 0.01 for name, value in found.items()}
    assert cross_validated(found | nested) == (
        "Cross-validated: 95.1% (95 % interval 93.0% to 97.0%) at the best epoch, chosen on photos other than "
        "those it is evaluated on; 96.1% (95 % interval 94.0% to 98.0%) at the last epoch."
    )


@pytest.mark.parametrize(
    ("metrics", "changed"),
    [
        ({"val/acc": 0.9414, "epochs": 1}, {}),  # no share of 153
        ({"val/acc": 144 / 153, "epochs": 1}, {"several": True}),  # a mean over labels
        ({"val/acc": 144 / 153, "epochs": 1}, {"counts": {}}),
    ],
)
def test_no_interval_where_no_count_gives_one(metrics: dict[str, object], changed: dict[str, object]) -> None:
    assert said(metrics, **changed) == "val/acc 0.9412 – last epoch (1). One run gives no interval for acc.".replace(
        "0.9412", f"{metrics['val/acc']:.4g}"
    )


def test_whatever_was_logged() -> None:
    assert said({"train_loss": 0.5, "epochs": 2, "seconds": 3.0}, None, classes=[], counts={}) == (
        "train_loss 0.5 – last epoch (2). One run gives no interval for train_loss."
    )
    metrics = {"val_loss/dataloader_idx_0": 0.25, "best/val_loss/dataloader_idx_0": 0.2, "best/epoch": 1, "epochs": 2}
    text = said(metrics, "val_loss/dataloader_idx_0")
    assert "val_loss/dataloader_idx_0 0.2 – best epoch (1), selected" in text
    assert "val_loss/dataloader_idx_0 0.25 – last epoch (2)" in text
    assert said({"epochs": 1, "seconds": 3.0}, None) == "No metric was logged."
    assert said({"val/acc": "nan", "epochs": 1}) == "val/acc was never a number."
