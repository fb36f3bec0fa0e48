"""The example of a Lightning module: it trains, validates, and its checkpoint decodes the same."""

from pathlib import Path

import pytest

# Lightning warns of releases of torch, of its own ways, and of what it would like to log to
pytestmark = pytest.mark.filterwarnings("ignore")

EXAMPLES = Path(__file__).resolve().parents[1] / "example_data"


@pytest.mark.usefixtures("one_thread")
def test_the_example(tmp_path, monkeypatch):
    pytest.importorskip("lightning", reason="Lightning is not installed")  # here: only one worker need read all of it
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import duration_task
    import lightning_module

    batch = duration_task.draw(5, 4)
    before = float(duration_task.Segmenter(max(duration_task.DURATIONS) + 1).loss(batch))
    module, score = lightning_module.train(tmp_path, steps=5)
    assert 0 <= score <= 1
    assert float(module.model.loss(batch)) < before
    again = lightning_module.LightningSegmenter.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    for a, b in zip(module.model.decode(batch), again.model.decode(batch), strict=True):
        assert a.equal(b)
