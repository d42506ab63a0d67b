"""Prediction of pictures and videos; what cannot be read is named at the end."""

from pathlib import Path

from densekd.errors import UserError
from densekd.run.predict_video import predict_video, require_video
from densekd.run.prediction_inputs import Inputs
from densekd.tasks.protocol import Predictor


def predict_inputs(predictor: Predictor, inputs: Inputs, out: Path, resume: bool = False) -> str:
    """Predict everything that can be read; return how much was done and where it is.

    Args:
        predictor: of the model.
        inputs: pictures and videos.
        out: the folder to fill; videos come into ``videos/``.
        resume: leave out pictures and videos that an earlier prediction has done.

    Raises:
        UserError: some could not be read; all others were predicted.
    """
    done: list[str] = []
    odd: list[str] = []
    if inputs.videos:
        require_video()
    for name, path in inputs.videos.items():
        written = out / "videos" / f"{name}.mp4"
        if resume and written.is_file():
            done.append(f"{written}: there already")
            continue
        try:
            done.append(f"{predict_video(path, written, predictor.drawn)} frames: {written}")
        except UserError as error:
            odd.append(str(error))
    if inputs.folder is not None:
        try:
            # Predictors of other packages may not know how to go on.
            again = {"resume": True} if resume else {}
            count = predictor.predict_folder(inputs.folder, out, **again)
            done.append(f"{count} images: {', '.join(str(out / name) for name in predictor.writes)}")
        except UserError as error:
            odd.append(str(error))
    if odd:
        raise UserError("\n".join([*odd, *done]))
    return "\n".join(done)
