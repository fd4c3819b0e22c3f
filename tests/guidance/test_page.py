"""The Python on the page about guidance runs as it stands, in the order in which it is read."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from untrained import write_model

PAGE = Path(__file__).parents[2] / "docs" / "guidance.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_every_block_is_short():
    assert len(BLOCKS) > 5
    assert max(len(block.strip().splitlines()) for block in BLOCKS) <= 10


def test_the_blocks_run(short_run, labeller, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(short_run, "runs/digits")
    shutil.copytree(labeller, "runs/digits-classifier")
    write_model(Path("runs/digits-plain"), "digits", label="none")
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(block.replace("Particles(256)", "Particles(16)").replace("draw(16", "draw(2"), names)
    for drawn in ("x", "both", "either"):
        assert torch.isfinite(names[drawn]).all()
    assert names["restored"].mean.shape == (1, 8, 8)
    assert torch.isfinite(names["outcome"].log_evidence).all()


@pytest.mark.parametrize("verb", ["train", "sample", "restore"])
def test_the_commands_are_those_of_the_command_line(verb):
    from reverie.cli.main import parser

    lines = re.findall(rf"^reverie ({verb} .*?)(?: +#.*)?$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines
    for line in lines:
        assert parser().parse_args(line.split()).verb == verb
