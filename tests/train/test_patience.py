"""Patience restarts on improvement and is decided by the history alone."""

import pytest

from spkid.train.patience import best_epoch, is_exhausted


def rows(values, watch="valid_loss"):
    return [{"epoch": 1 + place, **({} if value is None else {watch: value})} for place, value in enumerate(values)]


def epochs_until_the_end(values, patience, watch="valid_loss"):
    history = rows(values, watch)
    stops = [count for count in range(len(history) + 1) if is_exhausted(history[:count], watch, patience)]
    return stops[0] if stops else None


def test_training_stops_after_so_many_epochs_without_gain():
    assert epochs_until_the_end([5, 4, 3] + [3] * 20, 10) == 13
    assert epochs_until_the_end([5, 4, 3] + [3] * 9, 10) is None
    assert epochs_until_the_end([1] * 30, 10) == 11
    assert epochs_until_the_end(range(30, 0, -1), 1) is None


def test_an_improvement_starts_the_count_again():
    assert epochs_until_the_end([5, 6, 6, 4.9, 6, 6, 6], 3) == 7


def test_accuracy_is_better_when_it_is_larger():
    assert epochs_until_the_end([0.5, 0.4, 0.4], 2, "valid_accuracy") == 3
    assert epochs_until_the_end([0.5, 0.6, 0.7, 0.8], 2, "valid_accuracy") is None
    assert best_epoch(rows([0.5, 0.9, 0.9], "valid_accuracy"), "valid_accuracy") == 2


def test_only_evaluated_epochs_decide():
    values = [None, 5, None, 6, None, 6, None, 6]
    assert epochs_until_the_end(values, 3) == 6
    assert best_epoch(rows(values), "valid_loss") == 2
    assert best_epoch(rows([None, None]), "valid_loss") is None


@pytest.mark.parametrize("history", [[], rows([1] * 50)])
def test_no_patience_is_endless_patience(history):
    assert not is_exhausted(history, "valid_loss", 0)
