"""What the bar counts while images are decoded, and how soon an interruption ends it."""

import sys
import threading
import time

import numpy as np
import pytest
import rich.progress

from efn_compose.data.decoding import decode
from efn_compose.data.decoding.decode import for_each_image

COUNT = 64


class Images:
    """Grey images, of which one waits for an event."""

    def __init__(self, slow):
        self.slow, self.may_go = slow, threading.Event()
        self.is_in_time = False
        self.read = 0

    def __len__(self):
        return COUNT

    def __getitem__(self, number):
        self.read += 1
        time.sleep(0.01)
        if number == self.slow:
            self.is_in_time = self.may_go.wait(10)
        return np.zeros((4, 4, 3), np.uint8)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setattr(decode, "usable_cores", lambda: 2)


def counted(monkeypatch, on_count):
    """Let a function be told how many images have been counted."""

    def count(items, total, show):
        for number, item in enumerate(items, 1):
            on_count(number)
            yield item

    monkeypatch.setattr(decode, "with_progress", count)


def test_a_slow_image_does_not_hold_up_the_count_of_the_others(monkeypatch):
    images = Images(slow=0)
    # Its own group has four images, an eighth of each thread's share.
    counted(monkeypatch, lambda number: number == COUNT - 4 and images.may_go.set())
    assert for_each_image(images, np.arange(COUNT), lambda place, pixels: None) == []
    assert images.is_in_time


def test_the_time_left_follows_from_the_pace_of_all_images_so_far(monkeypatch):
    now, made = [0.0], []

    class Bar(rich.progress.Progress):
        def __init__(self, *columns, **settings):
            super().__init__(*columns, get_time=lambda: now[0], **settings)
            made.append(self)

    def groups():
        """Yield sixteen at once each second, and one group after a wait."""
        for group in range(20):
            now[0] += 100 if group == 15 else 1
            for _ in range(16):
                now[0] += 1e-5
                yield None

    monkeypatch.setattr("rich.progress.Progress", Bar)
    monkeypatch.setattr(decode, "PROGRESS_AFTER_SECONDS", float("inf"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for _ in decode.with_progress(groups(), 2490, show=True):
        pass
    assert made[0].tasks[0].time_remaining == pytest.approx((2490 - 320) / 320 * now[0], rel=0.1)


def test_an_interruption_ends_the_decoding_of_what_has_not_begun(monkeypatch):
    images = Images(slow=-1)

    def interrupt(_):
        raise KeyboardInterrupt

    counted(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        for_each_image(images, np.arange(COUNT), lambda place, pixels: None)
    assert images.read < COUNT
