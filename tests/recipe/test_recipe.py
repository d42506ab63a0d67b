import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from tiny_data import tiny_recipe

from densekd.braces import expand_braces
from densekd.errors import RecipeError
from densekd.recipe import ComponentSpec, Recipe, TermSpec, dump_recipe, load_recipe, parse_recipe

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))
assert len(SHIPPED) >= 2
Load = Callable[..., Recipe]


def distilling() -> dict[str, Any]:
    """The content of a recipe in which every part occurs."""
    return {
        **tiny_recipe(Path("/data")),
        "teacher": {"model": "fpn", "checkpoint": "untrained"},
        "distill": [{"method": "cwd", "weight": 3}, {"method": "pixel", "weight": {"value": 1}}],
        "task": {},
    }


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write :func:`distilling` to a file and load it with overrides."""
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(distilling()))
    return lambda *overrides: load_recipe(path, overrides)


def complaint(load: Load, *overrides: str) -> str:
    with pytest.raises(RecipeError) as error:
        load(*overrides)
    assert error.value.code == 2
    return str(error.value)


@pytest.mark.parametrize(
    ("wrong", "near", "known"),
    [
        (
            "nmae",
            "name",
            "augment, baseline, baseline_steps, callbacks, data, distill, evaluation, kernels, logging, name, "
            "optimizer, student, task, teacher, training",
        ),
        (
            "data.rot",
            "root",
            "allow, bands, batch_size, cache, dataset, leave_out, license, long_side, max_megapixels, mean, options, "
            "resize, root, short_side, split, std, train, val, workers",
        ),
        ("augment.corp", "crop", "crop, flip, max_class_share, padding, photometric, scale, short_side"),
        ("student.modle", "model", "allow, bands, checkpoint, classes, inherit, model, options, pretrained"),
        ("distill.1.methd", "method", "adapter, method, options, resize_to, student, teacher, through, weight"),
        ("distill.0.weight.vlaue", "value", "decay, decay_shape, value, warmup, warmup_shape"),
        ("optimizer.beta", "betas", "betas, floor, head_lr, lr, method, milestones, momentum, no_decay, power, "),
        (
            "training.step",
            "steps",
            "accumulate, checkpoint_every, clip, compile, deterministic, export, log_every, precision",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest_and_the_known_ones(load: Load, wrong: str, near: str, known: str) -> None:
    text = complaint(load, f"{wrong}=1")
    assert f"\n  {wrong}: unknown key. Did you mean '{near}'? Known: {known}" in text


def test_a_logger_is_a_name_or_a_name_with_options(load: Load) -> None:
    assert [logger.name for logger in load().logging] == ["tensorboard"]
    recipe = load("logging=[csv, {name: 'wandb:Logger', options: {project: x}}]", "callbacks=['mine:Callback']")
    assert recipe.logging == (
        ComponentSpec(name="csv"),
        ComponentSpec(name="wandb:Logger", options={"project": "x"}),
    )
    assert recipe.callbacks == (ComponentSpec(name="mine:Callback"),)
    assert parse_recipe(yaml.safe_load(dump_recipe(recipe)), "here") == recipe


@pytest.mark.parametrize(("written", "value"), [("on", "on"), ("off", "off"), ("auto", "auto"), ("'on'", "on")])
def test_the_words_on_and_off_need_no_quotes(load: Load, written: str, value: str) -> None:
    recipe = load(f"training.sync_batchnorm={written}")
    assert recipe.training.sync_batchnorm == value
    assert parse_recipe(yaml.safe_load(dump_recipe(recipe)), "here") == recipe
    assert "training.sync_batchnorm: one of auto, on, off, got 'yes please'" in complaint(
        load, "training.sync_batchnorm=yes please"
    )


@pytest.mark.parametrize(("written", "number"), [("1e-3", 1e-3), ("2E3", 2000.0), ("-1.5e-3", -1.5e-3), (".5e1", 5.0)])
def test_numbers_with_an_exponent_are_numbers(load: Load, tmp_path: Path, written: str, number: float) -> None:
    assert load(f"distill.0.options.x={written}").distill[0].options == {"x": number}
    path = tmp_path / "numbers.yaml"
    path.write_text(yaml.safe_dump(distilling()) + f"kernels: {written}\n")
    with pytest.raises(RecipeError, match=re.escape(f"got {number}.")):
        load_recipe(path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.steps=many", "training.steps: an integer of at least 1 or null, got 'many'."),
        ("training.steps=3.5", "training.steps: an integer of at least 1 or null, got 3.5."),
        ("training.steps=yes", "training.steps: an integer of at least 1 or null, got true."),
        ("data.workers=false", "data.workers: an integer of at least 0 and of at most 1024 or one of auto, got false."),
        ("optimizer.lr=on", "optimizer.lr: a number greater than 0, got true."),
        ("training.steps=", "training: write exactly one of steps and seconds; "),
        ("training.seconds=9", "training: write exactly one of steps and seconds; "),
        ("training.seconds=0", "training.seconds: a number greater than 0 and of at most 1000000000 or null, got 0."),
        ("training.precision=16", "training.precision: one of auto, 32, bf16, fp16, got 16."),
        ("data.batch_size=0", "data.batch_size: an integer of at least 1 and of at most 1000000, got 0."),
        ("data.cache=much", "data.cache: a number of at least 0 or one of auto, off, got 'much'."),
        ("data.cache=-1", "data.cache: a number of at least 0 or one of auto, off, got -1."),
        ("data=3", "data: a mapping, got 3."),
        ("data.bands=rgb", "data.bands: a number of bands (1: gray, 3: RGB, 4, ...), or a list of their numbers"),
        ("data.bands=0", "data.bands: a number of bands (1: gray, 3: RGB, 4, ...), or a list of their numbers"),
        ("data.bands=[]", "data.bands: a number of bands (1: gray, 3: RGB, 4, ...), or a list of their numbers"),
        ("data.bands=[1, 0]", "data.bands: a number of bands (1: gray, 3: RGB, 4, ...), or a list of their numbers"),
        ("data.mean=[0.5, 0.5, 0.5]", "data: mean and std go together"),
        ("student.bands=green", "student.bands: "),
        ("augment.crop=5", "augment.crop: a list of 2 integers greater than 0 and of at most 32768 or null, got 5."),
        (
            "augment.crop=[32, 0]",
            "augment.crop: a list of 2 integers greater than 0 and of at most 32768 or null, got [32, 0].",
        ),
        ("augment.scale=[2, 0.5]", "augment.scale: the smallest comes first, got [2, 0.5]."),
        ("distill=cwd", "distill: a list of mappings, got 'cwd'."),
        ("distill.0.weight=heavy", "distill.0.weight: a number of at least 0 or a mapping, got 'heavy'."),
        ("distill.0.weight=.nan", "distill.0.weight: a number of at least 0 or a mapping, got nan."),
        ("distill.0.weight.value=-1", "distill.0.weight.value: a number of at least 0, got -1."),
        ("distill.0.adapter=3", "distill.0.adapter: a string or a mapping, got 3."),
        ("distill.0.adapter={nme: conv}", "distill.0.adapter.nme: unknown key. Did you mean 'name'?"),
        ("logging=[3]", "logging.0: a string or a mapping, got 3."),
        ("optimizer.lr=fast", "optimizer.lr: a number greater than 0, got 'fast'."),
        (
            "augment.crop=[64]",
            "augment.crop: a list of 2 integers greater than 0 and of at most 32768 or null, got [64].",
        ),
        (
            "optimizer.betas=[0.9, 1]",
            "optimizer.betas: a list of 2 numbers of at least 0 and less than 1, got [0.9, 1].",
        ),
        (
            "name=../elsewhere",
            "name: letters, digits, '_', '-' and '.', and a letter, digit or '_' first, got",
        ),
    ],
)
def test_a_wrong_value_says_where_what_and_what_was_given(load: Load, override: str, message: str) -> None:
    assert f"\n  {message}" in complaint(load, override)


@pytest.mark.parametrize("key", ["name", "data", "data.root", "student", "training"])
def test_a_missing_key_is_named(key: str) -> None:
    content = distilling()
    *parents, last = key.split(".")
    part = content
    for parent in parents:
        part = part[parent]
    del part[last]
    with pytest.raises(RecipeError, match=rf"^there:\n  {re.escape(key)}: missing\.$"):
        parse_recipe(content, "there")


def test_all_complaints_come_at_once(load: Load) -> None:
    assert complaint(load, "training.steps=0", "data.rot=1", "augment.flip=2").count("\n  ") == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not YAML: .*line 1"),
        ("- a", "a recipe is a mapping; see recipes/ for examples"),
        ("", "a recipe is a mapping"),
        ("name: \x00", "no text in UTF-8"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=rf"(?s)^{re.escape(str(path))}: {message}"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no such recipe; 'densekd recipes'"), (b"name: \xff\xfe", "no text in UTF-8, which a recipe is")],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=rf"^{re.escape(str(path))}: {message}"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("override", "look", "value"),
    [
        ("training.steps=100", lambda r: r.training.steps, 100),
        ("task.auxiliary_weight=0.1", lambda r: r.task.options, {"auxiliary_weight": 0.1}),
        ("student.options.channels=8", lambda r: r.student.options["channels"], 8),
        ("student.options={backbone: resnet34}", lambda r: r.student.options, {"backbone": "resnet34"}),
        ("augment.crop=[16, 24]", lambda r: r.augment.crop, (16, 24)),
        ("augment.crop.1=48", lambda r: r.augment.crop, (32, 48)),
        ("distill.1.method=cwd", lambda r: [term.method for term in r.distill], ["cwd", "cwd"]),
        ("distill.0.weight=7", lambda r: r.distill[0].weight.value, 7.0),
        ("distill.0.weight.value=7", lambda r: r.distill[0].weight.value, 7.0),
        ("distill.0.weight.warmup=9", lambda r: (r.distill[0].weight.value, r.distill[0].weight.warmup), (3.0, 9)),
        ("distill.1.weight.decay=[2, 4]", lambda r: r.distill[1].weight.decay, (2, 4)),
        ("optimizer.lr=2e-4", lambda r: r.optimizer.lr, 0.0002),
        ("data.root=/a=b", lambda r: r.data.root, "/a=b"),
        ("data.cache=auto", lambda r: r.data.cache, "auto"),
        ("training.precision=bf16", lambda r: r.training.precision, "bf16"),
    ],
)
def test_an_override_changes_one_value(load: Load, override: str, look: Callable[[Recipe], Any], value: Any) -> None:
    assert look(load()) != value
    assert look(load(override)) == value


def test_numbers_are_read_as_people_write_them(load: Load) -> None:
    recipe = load("training.precision=32", "optimizer.weight_decay=1e-2", "training.seed=1", "training.seed=2")
    assert (recipe.training.precision, recipe.optimizer.weight_decay, recipe.training.seed) == ("32", 0.01, 2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training", "'training' is no override; write key.path=value, for instance training.steps=100."),
        ("=3", "'=3' is no override"),
        ("training.steps=[", "'training.steps=[': the value is not YAML"),
        ("name.x=3", "name.x: 'name' is 'tiny' and has no parts."),
        ("distill.2.weight=3", "distill.2.weight: '2' is no index of a list of 2."),
        ("distill.first.weight=3", "distill.first.weight: 'first' is no index of a list of 2."),
        ("distill.2={method: cwd}", "distill.2: '2' is no index of a list of 2."),
    ],
)
def test_a_bad_override(load: Load, override: str, message: str) -> None:
    assert complaint(load, override).startswith(message)


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("logits", ["logits"]),
        ("features.{0,3}", ["features.0", "features.3"]),
        ("{a,b}.{0,1}[2]", ["a.0[2]", "a.1[2]", "b.0[2]", "b.1[2]"]),
    ],
)
def test_braces_expand_from_left_to_right(path: str, expanded: list[str]) -> None:
    assert expand_braces(path) == expanded


def test_braces_of_student_and_teacher_are_paired(load: Load) -> None:
    term = load("distill.0.student=features.{1,2}", "distill.0.teacher=features.{2,3}").distill[0]
    parts = [(part.student, part.teacher, part.weight.value) for part in term.fan_out()]
    assert parts == [("features.1", "features.2", 3.0), ("features.2", "features.3", 3.0)]


def test_braces_that_do_not_pair(load: Load) -> None:
    with pytest.raises(RecipeError, match=r"distill\.0: 'features\.\{0,1,2\}' names 3 taps, 'features\.\{2,3\}' 2"):
        load("distill.0.student=features.{0,1,2}", "distill.0.teacher=features.{2,3}")


def test_a_list_of_taps_is_one_term(load: Load, tmp_path: Path) -> None:
    recipe = load("distill.0.student=[aux, logits]", "distill.0.teacher=[features.3, logits]")
    term = recipe.distill[0]
    assert (term.student, term.teacher) == (("aux", "logits"), ("features.3", "logits"))
    assert term.fan_out() == [term]
    copied = tmp_path / "copied.yaml"
    copied.write_text(dump_recipe(recipe))
    assert load_recipe(copied) == recipe


def test_an_override_inside_of_a_shorter_form(load: Load) -> None:
    term = load("distill.0.adapter=conv", "distill.0.adapter.options.bias=true", "distill.0.weight.warmup=5").distill[0]
    assert term.adapter == ComponentSpec(name="conv", options={"bias": True})
    assert (term.weight.value, term.weight.warmup) == (3.0, 5)


def test_overrides_of_a_mapping_leave_it_as_it_is() -> None:
    content = distilling()
    assert parse_recipe(content, "here", ["training.seed=7"]).training.seed == 7
    assert content == distilling()


def test_braces_in_a_list_make_it_longer(load: Load) -> None:
    recipe = load("distill.0.student=['a.{0,1}', 'b[{2,3}]', c]", "distill.0.teacher=['x.{0,1,2,3,4}']")
    term = recipe.distill[0]
    assert term.student == ("a.0", "a.1", "b[2]", "b[3]", "c")
    assert term.teacher == ("x.0", "x.1", "x.2", "x.3", "x.4")
    assert term.fan_out() == [term]


@pytest.mark.parametrize(
    ("written", "ways"),
    [
        ("head", ["head", "head"]),
        ("heads.{0,1}", ["heads.0", "heads.1"]),
        ("['tower.{2,3}', cls]", [("tower.2", "tower.3", "cls")] * 2),
    ],
)
def test_the_way_through_the_teachers_head(load: Load, written: str, ways: list[Any]) -> None:
    taps = ["distill.0.student=a.{0,1}", "distill.0.teacher=b.{0,1}"]
    terms = load(*taps, f"distill.0.through={written}").distill[0].fan_out()
    assert [(term.student, term.teacher, term.through) for term in terms] == [
        ("a.0", "b.0", ways[0]),
        ("a.1", "b.1", ways[1]),
    ]


def test_what_comes_out_of_the_teachers_head_is_one_tensor(load: Load) -> None:
    taps = "distill.0.student=['features.{0,1,2,3}']"
    assert load(taps, "distill.0.through=head").distill[0].teacher == "logits"
    text = complaint(load, taps, "distill.0.teacher=[a, b, c, d]", "distill.0.through=head")
    assert "distill.0: with through the teacher has one tap" in text
    with pytest.raises(RecipeError, match=r"distill\.0: through 'heads\.\{0,1\}' names 2 modules for 3 terms"):
        load("distill.0.student=a.{0,1,2}", "distill.0.teacher=b.{0,1,2}", "distill.0.through=heads.{0,1}")


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ("[aux, logits]", "[aux, pre_logits, logits]", "distill.0: student and teacher are lists of as many taps"),
        ("[logits]", "logits", "distill.0: student and teacher are lists of as many taps, or neither is a list"),
        ("[]", "[]", "distill.0.student: a string or a list of strings with at least 1, got []."),
        ("[a, 'features.{2,3}']", "[a, b]", "distill.0: student and teacher are lists of as many taps"),
        ("3", "logits", "distill.0.student: a string or a list of strings with at least 1, got 3."),
        (
            "[logits, 3]",
            "[aux, b]",
            "distill.0.student: a string or a list of strings with at least 1, got ['logits', 3].",
        ),
    ],
)
def test_a_wrong_list_of_taps(load: Load, student: str, teacher: str, message: str) -> None:
    assert f"\n  {message}" in complaint(load, f"distill.0.student={student}", f"distill.0.teacher={teacher}")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher=null", "distill needs a teacher."),
        ("distill=[]", "there is a teacher but nothing under distill; add a term or remove the teacher."),
        ("student.model=null", "student.model is missing."),
    ],
)
def test_parts_that_need_each_other(load: Load, override: str, message: str) -> None:
    assert complaint(load, override).endswith(f"recipe.yaml: {message}")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_loads_and_survives_being_written(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    copied = tmp_path / "recipe.yaml"
    copied.write_text(dump_recipe(recipe))
    assert load_recipe(copied) == recipe


def test_a_written_recipe_says_every_default_and_reads_the_same(load: Load) -> None:
    recipe = load("task.class_weights=[1, 2, 3]", "data.resize=[20, 30]", "distill.0.weight.decay=[1, 5]")
    content = yaml.safe_load(dump_recipe(recipe))
    assert parse_recipe(content, "dump") == recipe
    assert content["training"]["precision"] == "32"
    assert content["augment"]["scale"] == [0.5, 2.0]
    assert content["distill"][0]["weight"]["value"] == 3.0


def test_a_recipe_is_frozen(load: Load) -> None:
    recipe = load()
    with pytest.raises(ValidationError, match="frozen"):
        recipe.training.steps = 1  # type: ignore[misc]


def test_the_schema_knows_every_key() -> None:
    schema = json.loads(json.dumps(Recipe.model_json_schema()))
    assert set(schema["properties"]) == set(Recipe.model_fields)
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"name", "data", "student", "training"}
    term = schema["$defs"]["TermSpec"]
    assert set(term["properties"]) == set(TermSpec.model_fields)
    assert schema["$defs"]["TrainingSpec"]["properties"]["steps"]["anyOf"][0]["minimum"] == 1


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: a\ntraining:\n  steps: 1\n  seed: 2\n  steps: 3\n")
    with pytest.raises(RecipeError, match=r"(?s)the key 'steps' is there twice; keep one.*line 5"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (["data.resize=[180, 240]"], (180, 240)),
        (["data.short_side=512"], (512,)),
        (["data.short_side=800", "data.long_side=1333"], (800, 1333)),
        ([], None),
    ],
)
def test_each_meaning_of_a_size_has_its_key(load: Load, written: list[str], size: Any) -> None:
    recipe = load(*written)
    assert recipe.data.input_size == size
    assert parse_recipe(yaml.safe_load(dump_recipe(recipe)), "test") == recipe


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (["data.resize=[8, 8]", "data.short_side=8"], "data: resize and short_side exclude each other"),
        (["data.long_side=8"], "data: long_side is a limit beside short_side, which is missing"),
    ],
)
def test_sizes_that_contradict(load: Load, written: list[str], message: str) -> None:
    assert message in complaint(load, *written)


def test_a_task_may_have_any_options_and_keeps_them(tmp_path: Path) -> None:
    task = {"kind": "my_package.my_module:MyTask", "margin": 0.5, "sizes": [1, 2]}
    recipe = parse_recipe({**distilling(), "task": task, "evaluation": {"align": "none"}}, "test")
    assert recipe.task.options == {"margin": 0.5, "sizes": [1, 2]}
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))
    again = load_recipe(tmp_path / "recipe.yaml", ["evaluation.align=some"])
    assert again.task == recipe.task
    assert again.evaluation.options == {"align": "some"}


def test_bands_are_a_number_or_a_list(load: Load) -> None:
    assert load().data.bands == 3
    four = load("data.bands=4", "data.mean=[0.1, 0.2, 0.3, 0.4]", "data.std=[1, 1, 1, 1]", "student.bands=[4, 4]")
    assert (four.data.channels, four.student.bands) == (4, (4, 4))
    assert load("data.bands=[4, 3]").data.channels == 2
    assert load("student.bands=gray").student.bands == "gray"
    with pytest.raises(RecipeError, match="mean has 3 numbers and std 3, and bands are 4; write one for each band"):
        load("data.bands=4", "data.mean=[0.1, 0.2, 0.3]", "data.std=[1, 1, 1]")
