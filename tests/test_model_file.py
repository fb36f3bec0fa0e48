"""Model files: what comes back, what is refused, and what is left when writing fails."""

import json
import os

import pytest
import torch

from semiseg import model_file
from semiseg.errors import SemisegError
from semiseg.model_file import Stored, fill, load, read_about, save, shrunk

save_file = pytest.importorskip("safetensors.torch").save_file
NET = torch.nn.Linear(3, 2)
STORED = Stored("genes", {"labels": 37}, {"name": "a model", "f1": 0.9}, shrunk(NET))


@pytest.fixture
def path(tmp_path):
    save(tmp_path / "model.safetensors", STORED)
    return tmp_path / "model.safetensors"


def test_what_is_stored_comes_back(path):
    found = load(path)
    assert found[:3] == STORED[:3]
    assert read_about(path) == STORED.about
    assert found.tensors["weight"].dtype == torch.bfloat16
    net = torch.nn.Linear(3, 2)
    fill(net, found, path)
    assert torch.equal(net.weight, NET.weight.bfloat16().float())
    assert net.weight.dtype == torch.float32
    assert os.listdir(path.parent) == [path.name]


def test_the_same_is_written_as_the_same_bytes(path):
    for number in range(8):  # the library's metadata have 120 orders
        save(path.with_name(f"{number}"), STORED)
        assert path.with_name(f"{number}").read_bytes() == path.read_bytes()
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0


def rewritten(path, **changes):
    header = {"format": "semiseg-model", "version": "1", "kind": '"genes"', "config": "{}", "about": "{}"} | changes
    save_file({"x": torch.zeros(1)}, path, metadata={k: v for k, v in header.items() if v is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "not a semiseg model"),
        ({"format": "other"}, "not a semiseg model"),
        ({"version": "2"}, "written by a newer semiseg .format 2, this one reads 1.: upgrade"),
        ({"version": "x"}, "written by a newer semiseg"),
        ({"config": None}, "not a semiseg model, or damaged"),
        ({"config": "{"}, "not a semiseg model, or damaged"),
        ({"about": "[]"}, "not a semiseg model, or damaged"),
    ],
)
def test_foreign_files_are_refused_in_one_line(path, changes, message):
    with pytest.raises(SemisegError, match=message) as error:
        load(rewritten(path, **changes))
    assert "\n" not in str(error.value)
    with pytest.raises(SemisegError, match=message):
        read_about(path)


@pytest.mark.parametrize("data", [b"", b"not safetensors at all", b"\x80\x04\x95pickle", b"\xff" * 100])
def test_junk_is_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(SemisegError, match="not a semiseg model, or damaged"):
        load(path)


def test_a_file_cut_short_is_refused(path):
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(SemisegError, match="damaged"):
        load(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SemisegError, match=r"nothing: no such file$"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (torch.nn.Linear(3, 2, bias=False), "unknown bias"),
        (torch.nn.Sequential(torch.nn.Linear(3, 2)), "missing 0.bias, 0.weight"),
        (torch.nn.Linear(2, 2), r"weight has shape \(2, 3\), its configuration says \(2, 2\)"),
    ],
)
def test_tensors_must_be_those_of_the_configuration(path, net, message):
    with pytest.raises(SemisegError, match=message):
        fill(net, load(path), path)


@pytest.mark.parametrize(("value", "message"), [("nan", "no numbers"), ("inf", "infinite"), ("-inf", "infinite")])
def test_damaged_weights_are_refused(path, value, message):
    stored = load(path)
    stored.tensors["weight"][1, 2] = float(value)
    save(path, stored)
    with pytest.raises(SemisegError, match=f"{path}: weight holds .*{message}.*: the file is damaged"):
        fill(torch.nn.Linear(3, 2), load(path), path)


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_failure_leaves_the_last_good_file(path, monkeypatch, moment):
    def fails(*_):
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    owner = model_file.os if moment == "fsync" else model_file.Path
    monkeypatch.setattr(owner, moment, fails)
    with pytest.raises(SemisegError, match="cannot write: No space left on device: free some space or write elsewhere"):
        save(path, STORED._replace(config={"labels": 13}))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_the_header_is_plain_json(path):
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(header["__metadata__"]["about"])["f1"] == 0.9
