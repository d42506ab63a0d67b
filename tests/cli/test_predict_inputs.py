"""Prediction of many files: several inputs, patterns, addresses, videos, odd ones, and going on."""

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densekd.errors import UserError
from densekd.run.predict import require_same_settings
from densekd.run.prediction_inputs import gathered, is_address, is_override, is_pattern
from densekd.tasks.records import Records


def picture(path: Path, shade: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (48, 32), (shade, 40, 60)).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("a.png", "a.jpg", "town/b c.PNG", "town/[x].bmp", "town/deep/b c.png"):
        picture(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    return tmp_path / "in"


def names_of(folder: Path | None) -> list[str]:
    assert folder is not None
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def test_what_an_input_is(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_address("https://host/a.png")
    assert is_address("file:///tmp/a.png")
    assert not is_address("C:/a.png")
    assert is_pattern("in/*.png")
    assert not is_pattern("in/town/[x].bmp")  # a file of this name is there
    assert is_override("crop=[64,64]")
    picture(tmp_path / "a=b.png")
    assert not is_override("a=b.png")
    assert not is_override("https://host/a.png?size=3")


def test_a_folder_keeps_its_paths(pictures: Path) -> None:
    with gathered([str(pictures)]) as found:
        assert names_of(found.folder) == ["a.jpg", "a.png", "town/[x].bmp", "town/b c.PNG", "town/deep/b c.png"]


def test_inputs_of_one_name_get_names_of_their_own(pictures: Path, tmp_path: Path) -> None:
    other = picture(tmp_path / "other" / "a.png", 10)
    third = picture(tmp_path / "more" / "other" / "a.png", 20)
    with gathered([str(pictures / "a.png"), str(other), str(third)]) as found:
        assert names_of(found.folder) == ["a-2.png", "a.png", "other/a.png"]
        assert found.folder is not None
        assert (found.folder / "a-2.png").resolve() == third


def test_an_empty_input_is_not_the_current_folder(run: Any, trained: Path, tmp_path: Path) -> None:
    status, printed = run("predict", trained, "", "--out", tmp_path / "out")
    assert status == 1
    assert 'an input is empty ("")' in printed
    assert not (tmp_path / "out").exists()


def test_videos_of_one_stem_are_two(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.avi"):
        (tmp_path / name).write_bytes(b"")
    with gathered([str(tmp_path)]) as found:
        assert found.folder is None
        assert {name: path.name for name, path in found.videos.items()} == {"a": "a.avi", "a.mp4": "a.mp4"}


def test_patterns(pictures: Path) -> None:
    with gathered([str(pictures / "**" / "*.png")]) as found:
        assert names_of(found.folder) == ["a.png", "b c.png"]
    with pytest.raises(UserError, match=r"nothing-\*\.png: no image has such a name"), gathered(["nothing-*.png"]):
        pass
    with pytest.raises(UserError, match=r"nowhere\.png: no such file or folder"), gathered(["nowhere.png"]):
        pass


@pytest.fixture
def server(pictures: Path) -> Iterator[str]:
    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    handler = functools.partial(Silent, directory=str(pictures))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def test_addresses(server: str, pictures: Path) -> None:
    with gathered([f"{server}/a.png?size=3", f"{server}/town/b%20c.PNG", (pictures / "a.jpg").as_uri()]) as found:
        assert names_of(found.folder) == ["a.jpg", "a.png", "b c.PNG"]
        assert found.folder is not None
        assert (found.folder / "a.png").read_bytes() == (pictures / "a.png").read_bytes()
    with (
        pytest.raises(UserError, match=r"gone\.png: cannot be fetched \(File not found\)"),
        gathered([f"{server}/gone.png"]),
    ):
        pass


def test_odd_files_are_named_and_the_rest_is_done(run: Any, trained: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "town" / "odd.png").write_bytes(b"<html>not found</html>")
    status, printed = run("predict", trained, pictures, "--out", tmp_path / "out")
    said = printed.replace("\n", " ")
    assert status == 1
    assert "1 of 6 images were not predicted. The other 5 are in" in said
    assert str(pictures / "town" / "odd.png") in said
    written = names_of(tmp_path / "out" / "labels")
    assert written == ["a.jpg.png", "a.png.png", "town/[x].png", "town/b c.png", "town/deep/b c.png"]


def test_the_default_folder_is_not_the_reports(run: Any, trained: Path, pictures: Path) -> None:
    before = names_of(trained / "predictions")
    status, printed = run("predict", trained, pictures / "a.png", pictures / "town" / "b c.PNG")
    assert status == 0, printed
    assert names_of(trained / "predicted" / "labels") == ["a.png", "b c.png"]
    assert names_of(trained / "predictions") == before


def test_resume_leaves_out_what_is_done(run: Any, trained: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("predict", trained, pictures, "--out", out)[0] == 0
    lines = (out / "predicted.jsonl").read_text().splitlines(keepends=True)
    # Killed while the fourth was recorded; one of the others has changed since.
    (out / "predicted.jsonl").write_text("".join([*lines[:3], lines[3][:20]]))
    for path in (out / "labels").rglob("*.png"):
        path.unlink()
    done = [json.loads(line)["name"] for line in lines[:3]]
    picture(pictures / "a.png", 200)
    assert run("predict", trained, pictures, "--out", out, "--resume")[0] == 0
    again = {name.removesuffix(".png") for name in names_of(out / "labels")}
    assert again == {json.loads(line)["name"] for line in lines} - set(done) | {"a.png"}
    # Without it everything is predicted.
    assert run("predict", trained, pictures, "--out", out)[0] == 0
    assert len(names_of(out / "labels")) == 5


def test_records_are_of_their_file(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    records = Records(tmp_path / "out")
    records.add("a", path, [1.5, 2])
    known = Records(tmp_path / "out", resume=True)
    assert known.has("a", path)
    assert known.found == {"a": [1.5, 2]}
    assert not known.has("a", picture(tmp_path / "other" / "a.png"))
    # What was found is not believed where its line was changed.
    lines = tmp_path / "out" / "predicted.jsonl"
    lines.write_text(lines.read_text().replace("1.5", "7.5"))
    assert not Records(tmp_path / "out", resume=True).has("a", path)
    assert not Records(tmp_path / "out").has("a", path)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    av = pytest.importorskip("av")
    path = tmp_path / "clips" / "drive.mp4"
    path.parent.mkdir()
    with av.open(str(path), "w") as written:
        stream = written.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for k in range(5):
            frame = np.full((32, 48, 3), 40 * k, np.uint8)
            written.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        written.mux(stream.encode())
    return path


def test_a_video_becomes_a_video(run: Any, trained: Path, video: Path, pictures: Path, tmp_path: Path) -> None:
    import av

    (video.parent / "broken.avi").write_bytes(b"no video")
    status, printed = run("predict", trained, video.parent, pictures / "a.png", "--out", tmp_path / "out")
    assert status == 1
    assert "broken.avi: the video cannot be read" in printed.replace("\n", " ")
    assert "5 frames:" in printed
    assert names_of(tmp_path / "out" / "labels") == ["a.png"]
    assert names_of(tmp_path / "out" / "videos") == ["drive.mp4"]
    with av.open(str(tmp_path / "out" / "videos" / "drive.mp4")) as read:
        assert read.streams.video[0].average_rate == 10
        frames = [frame.to_ndarray(format="rgb24") for frame in read.decode(video=0)]
    assert [frame.shape for frame in frames] == [(32, 48, 3)] * 5


def test_videos_without_the_extra(run: Any, trained: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("densekd.run.predict_video.find_spec", lambda name: None)
    status, printed = run("predict", trained, video)
    assert status == 1
    assert "pip install 'densekd[video]'" in printed


def test_resume_refuses_other_options(run: Any, trained: Path, pictures: Path, tmp_path: Path) -> None:
    arguments = ("predict", trained, pictures, "--out", tmp_path / "out")
    assert run(*arguments)[0] in (0, 1)
    status, printed = run(*arguments, "flip=horizontal", "--resume")
    assert status == 1
    assert "with other options" in " ".join(printed.split())


def test_resume_refuses_another_model(tmp_path: Path) -> None:
    weights = tmp_path / "w.ckpt"
    weights.write_bytes(b"1")
    require_same_settings(tmp_path / "out", weights, ["a=1"], resume=False)
    require_same_settings(tmp_path / "out", weights, ["a=1"], resume=True)
    weights.write_bytes(b"12")
    with pytest.raises(UserError, match="another model"):
        require_same_settings(tmp_path / "out", weights, ["a=1"], resume=True)
    require_same_settings(tmp_path / "out", weights, ["a=1"], resume=False)
