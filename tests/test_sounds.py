"""Sounds: reading, windows, spectrograms, augmentation, a model through all verbs."""

import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from sounds import NAMES, RATE, glide, glides, write, write_folder

import tlkeras as tl
from tlkeras.augmentation import resolve_augment
from tlkeras.inputs import Sounds
from tlkeras.inputs.examples import examples_of
from tlkeras.inputs.sounds.augmenting import PRESETS
from tlkeras.inputs.sounds.reading import read_part
from tlkeras.inputs.sounds.spectrogram import LogMelSpectrogram
from tlkeras.predict_command import run_predict

WINDOW = {"sample_rate": RATE, "seconds": 0.25}
WHOLE = {"validation_split": 0, "test_split": 0}


def small_backbone(channels=1):
    """Returns a convolutional backbone of spectrograms of any size."""
    inputs = keras.Input((None, None, channels))
    x = inputs
    for name in ("block1", "block2"):
        x = keras.layers.Conv2D(
            8, 3, strides=2, padding="same", activation="relu", name=f"{name}_conv"
        )(x)
    return keras.Model(inputs, x, name="small")


def small_classifier(classes=NAMES, **arguments):
    return tl.audio_classifier(
        small_backbone(), classes, mels=16, head="flatten", **WINDOW, **arguments
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of glides that fall and rise, of four speakers."""
    return write_folder(tmp_path_factory.mktemp("sounds") / "glides", count=40)


@pytest.fixture(scope="module")
def data(folder):
    return tl.audio_folder(folder, **WINDOW, batch_size=8, test_split=0.3)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A classifier after both phases on cached features, its history and its file."""
    path = tmp_path_factory.mktemp("model") / "glides.keras"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLKERAS_CACHE", str(path.parent / "cache"))
        keras.utils.set_random_seed(0)
        model = small_classifier(data.class_names)
        history = tl.fine_tune(
            model,
            data.train,
            data.val,
            head_epochs=2,
            epochs=4,
            unfreeze_from="block2",
            fine_tune_learning_rate=0.01,
            verbose=0,
        )
        assert tl.cache_info().entries
    model.save(path)
    return model, history, path


# Reading.


@pytest.mark.parametrize(("ending", "rate"), [("flac", 44_100), ("ogg", 8_000)])
def test_files_are_made_mono_and_resampled_alike_in_parts(tmp_path, ending, rate):
    wave = glide(True, seconds=1.0, rate=rate)
    stereo = np.stack([wave, 0.5 * wave], axis=1)
    path = write(tmp_path / f"a.{ending}", stereo, rate)
    whole = read_part(path, RATE)
    assert len(whole) == RATE
    # What it would be at that rate, but for the filter's edges and the coding.
    plain = 0.75 * glide(True, seconds=1.0, rate=RATE)
    assert np.corrcoef(whole[100:-100], plain[100:-100])[0, 1] > 0.98
    for start, samples in ((0, 900), (1234, 800), (3900, 500)):
        part = read_part(path, RATE, start, samples)
        np.testing.assert_allclose(part, whole[start : start + samples], atol=2e-4)


def test_a_window_is_the_middle_of_a_long_sound_and_amid_silence_of_a_short_one():
    waves = [np.ones(2_000), np.arange(4_000) / 4_000, np.ones(400)]
    data = tl.from_arrays(waves, ["a", "b", "b"], **WINDOW, **WHOLE, batch_size=3)
    assert data.problem.input == Sounds(RATE, 0.25)
    batch = examples_of(data.train).dataset(3)
    x, y = next(iter(batch))
    assert x.shape == (3, 1_000) and y.numpy().tolist() == [0, 1, 1]
    np.testing.assert_allclose(x[1], np.arange(1_500, 2_500) / 4_000)
    assert x[2].numpy().sum() == 400 and x[2, 300] == 1 and x[2, 299] == 0
    longest = tl.from_arrays(waves, ["a", "b", "b"], sample_rate=RATE, **WHOLE)
    assert longest.problem.input.seconds == 1.0


@pytest.mark.parametrize(
    ("convert", "full"),
    [
        (lambda waves: waves.astype("int16"), 2**15),
        (lambda waves: waves.astype("int64"), 2**15),
        (lambda waves: waves.astype("int32"), 2**31),
        (lambda waves: waves.astype("int64").tolist(), 2**15),
        (lambda waves: (waves + 128).astype("uint8"), 2**7),
    ],
)
def test_whole_numbers_are_scaled_by_their_range(convert, full):
    waves = convert(np.array([[-1, 0, 0.5, 0] * 100] * 4) * full)
    data = tl.from_arrays(waves, list("abab"), sample_rate=RATE, **WHOLE)
    x, _ = next(iter(data.train))
    assert x[0, :3].numpy().tolist() == [-1, 0, 0.5]


def test_bad_files_are_left_out_and_bad_sounds_are_found(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "glides")
    up = copy / "up"
    (up / "empty.wav").touch()
    (up / "text.wav").write_text("no sound at all")
    write(up / "nothing.wav", np.zeros(0))
    shutil.copy(next(up.glob("speaker*")), up / "copy.wav")
    wave = glide(True, seed=1)
    write(up / "softer.flac", 0.3 * wave)
    write(up / "silent.wav", np.zeros(1_000))
    write(up / "phase.wav", np.stack([wave, -wave], axis=1))
    write(up / "loud.wav", np.clip(9 * wave, -1, 1))
    write(up / "short.wav", wave[:200])
    write(up / "long.wav", np.tile(wave, 3))
    write(up / "low.wav", glide(True, rate=2_000), 2_000)
    cut = write(up / "cut.flac", glide(True, seed=50, seconds=3)).read_bytes()
    (up / "cut.flac").write_bytes(cut[: len(cut) // 3])
    write(up / "nan.wav", np.where(wave > 0.4, np.nan, wave), subtype="FLOAT")
    early = np.tile(wave, 3)
    early[5] = np.nan  # far from the middle, which is all that a window reads
    write(up / "early.wav", early, subtype="FLOAT")
    with pytest.warns(UserWarning, match="Skipped 3 of 54 files.*its length is 0"):
        data = tl.audio_folder(copy, **WINDOW, **WHOLE)
    reasons = {path.rsplit("/")[-1]: why for path, why in data.skipped}
    assert reasons["empty.wav"] == "is empty"
    assert "no sound file that can be read" in reasons["text.wav"]
    found = {each.kind: " ".join(each.examples) for each in data.check(verbose=0)}
    for kind, *names in (
        ("damaged sounds", "cut.flac", "nan.wav", "early.wav"),
        ("silent sounds", "silent.wav", "phase.wav"),
        ("clipped sounds", "loud.wav"),
        ("short sounds", "short.wav"),
        ("long sounds", "long.wav"),
        ("low sample rates", "low.wav"),
        ("duplicates within a part", "copy.wav"),
        ("near duplicates within a part", "softer.flac"),
    ):
        assert all(name in found[kind] for name in names), (kind, found)
    assert found["near duplicates within a part"].count("speaker") < 4


def test_speakers_stay_in_one_part(folder):
    data = tl.audio_folder(
        folder, **WINDOW, groups=lambda file: file.split("/")[1].split("_")[0]
    )
    parts = [examples_of(x).files for x in (data.train, data.val, data.test)]
    who = [{file.split("/")[1].split("_")[0] for file in files} for files in parts]
    assert sum(map(len, who)) == 4 and len(set.union(*who)) == 4


def test_tables_name_files_without_their_ending(folder, tmp_path):
    frame = pd.DataFrame(
        {"file": [f"up/speaker0_{i}" for i in (1, 9, 17)], "pitch": [0.5, 1.5, 2.5]}
    )
    arguments = {"audio": "file", "label": "pitch", **WINDOW, **WHOLE}
    data = tl.from_dataframe(frame, audio_root=folder, **arguments)
    assert data.task == "regression" and "3 sounds of 0.25 s" in str(data.describe())
    frame.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(ValueError, match="audio_root"):
        tl.from_csv(tmp_path / "table.csv", **arguments)
    assert len(
        tl.from_csv(tmp_path / "table.csv", audio_root=folder, **arguments).train
    )
    with pytest.raises(ValueError, match="`image` or `audio`, not both"):
        tl.from_dataframe(frame, image="file", **arguments)


@pytest.mark.parametrize("rate", [2_000, None])
def test_tensorflow_datasets_of_sounds(tmp_path, rate):
    import tensorflow_datasets as tfds
    from test_data_tfds import LABEL, write_dataset

    features = {"sound": tfds.features.Audio(sample_rate=rate), "label": LABEL}
    waves = [glide(bool(i % 2), seed=i, rate=2_000) * 32768 for i in range(8)]
    rows = [
        {"sound": wave.astype("int64"), "label": i % 2} for i, wave in enumerate(waves)
    ]
    builder = write_dataset(tmp_path, {"train": rows}, features, ("sound", "label"))
    if rate is None:
        with pytest.raises(ValueError, match="does not say the sample rate"):
            tl.from_tfds(builder, **WINDOW)
        return
    data = tl.from_tfds(builder, **WINDOW, **WHOLE)
    x, _ = next(iter(examples_of(data.train).dataset(8)))
    assert x.shape == (8, 1_000) and 0.3 < np.abs(x).max() < 0.7


@pytest.mark.parametrize(
    ("x", "arguments", "match"),
    [
        (np.zeros((4, 100, 2)), {}, "one channel.*mean"),
        (np.zeros((900, 2)), {}, "one channel.*mean"),
        ((8_000, np.zeros(900)), {}, "its sample rate. Pass the wave"),
        ([np.zeros(9), np.zeros(8)], {"sample_rate": None}, "say their `sample_rate="),
        ([np.zeros(900), "a.wav"], {}, "waves of one channel"),
        ([], {}, "waves of one channel.*nothing"),
        (np.full((4, 900), np.nan), {}, "not finite"),
        (np.full((4, 900), 9000.0), {}, "Divide 16-bit samples"),
        (np.zeros((4, 900)), {"sample_rate": 16}, "kilohertz"),
        (np.zeros((4, 900)), {"seconds": 0.001}, "`seconds` must be"),
        (np.zeros((4, 900)), {"image_size": 32}, "image_size.*not.*sounds"),
    ],
)
def test_what_cannot_be_sounds_is_refused(x, arguments, match):
    with pytest.raises(ValueError, match=match):
        tl.from_arrays(x, list("abab")[: len(x)], **{"sample_rate": RATE, **arguments})


def test_sounds_are_drawn_and_played(data):
    shown = data.show(3)
    assert "3 of" in repr(shown) and len(shown.plot().child_axes) == 6
    html = shown._repr_html_()
    assert html.count("<audio") == 3 and "data:audio/wav;base64,UklGR" in html


# Spectrograms.


def test_a_spectrogram_shows_pitch_and_time_whatever_its_neighbours():
    time = np.arange(RATE) / RATE
    high, low = np.sin(2 * np.pi * 1_500 * time), np.sin(2 * np.pi * 200 * time)
    low[: RATE // 2] = 0
    layer = LogMelSpectrogram(RATE, mels=32)
    both = np.asarray(layer(np.stack([high, 0.001 * low])))[..., 0]
    alone = np.asarray(layer(0.001 * low[None]))[0, ..., 0]
    assert both.shape[1:] == layer.compute_output_shape((1, RATE))[1:3]
    np.testing.assert_allclose(both[1], alone, atol=1e-3)
    assert both[0, :, 50].argmax() < 8 < 24 < both[1, :, 75].argmax()
    assert alone.max() == 255 and alone[:, 10].max() == 0
    assert not np.asarray(layer(np.zeros((1, RATE)))).any()
    absolute = LogMelSpectrogram(RATE, mels=32, relative=False)
    levels = np.asarray(absolute(np.stack([high, 0.1 * high]))).max(axis=(1, 2, 3))
    # 20 of 50 decibels.
    assert levels[0] - levels[1] == pytest.approx(102, abs=0.1)


def test_long_sounds_are_averaged_into_the_columns_of_a_backbone():
    model = tl.audio_classifier("glyphnet", 2, sample_rate=RATE, seconds=5)
    layers = {layer.name: layer for layer in model.layers}
    assert layers["spectrogram"].pooling == 501 // 32
    assert layers["resizing"].output.shape == (None, 32, 32, 1)
    assert tl.audio_classifier(small_backbone(3), 2).layers[2].name == "channels"
    with pytest.raises(ValueError, match="1 or 3 channels"):
        tl.audio_classifier(small_backbone(2), 2)


def test_whisper_hears_what_its_own_converter_gives(tmp_path):
    import keras_hub

    whisper = keras_hub.models.WhisperBackbone(
        vocabulary_size=8,
        num_layers=1,
        num_heads=1,
        hidden_dim=4,
        intermediate_dim=4,
        max_encoder_sequence_length=200,
        max_decoder_sequence_length=8,
    )
    model = tl.audio_classifier(whisper, NAMES)
    waves = np.stack([glide(bool(i), seconds=1.0, rate=16_000) for i in range(2)])
    converter = keras_hub.layers.WhisperAudioConverter(max_audio_length=1)
    seen = model.get_layer("spectrogram")(waves)
    np.testing.assert_allclose(seen, np.asarray(converter(waves)), atol=1e-3)
    assert model.backbone.output_shape == (None, None, 4)
    model.save(tmp_path / "speech.keras")
    again = tl.load(tmp_path / "speech.keras")
    np.testing.assert_allclose(
        again.predict(waves, verbose=0), model.predict(waves, verbose=0), atol=1e-6
    )
    whisper.save_to_preset(tmp_path / "whisper")
    other = tl.audio_classifier(tmp_path / "whisper", NAMES)
    for ours, theirs in zip(
        other.backbone.weights, model.backbone.weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="16000 samples per second"):
        tl.audio_classifier(whisper, NAMES, sample_rate=RATE)
    with pytest.raises(ValueError, match="no shape in pixels"):
        tl.load_backbone(whisper, input_shape=64)
    with pytest.raises(ValueError, match="leave out `mels`"):
        tl.audio_classifier(whisper, NAMES, mels=32)
    with pytest.raises(ValueError, match="hears 0 to 2 seconds"):
        tl.audio_classifier(whisper, NAMES, seconds=2.5)


def small_moonshine(**arguments):
    import keras_hub

    return keras_hub.models.MoonshineBackbone(
        vocabulary_size=8,
        filter_dim=8,
        encoder_num_layers=2,
        decoder_num_layers=1,
        hidden_dim=8,
        intermediate_dim=8,
        encoder_num_heads=2,
        decoder_num_heads=2,
        partial_rotary_factor=0.9,
        **arguments,
    )


SPEECH = {"sample_rate": 16_000, "seconds": 0.25}


@pytest.mark.slow
def test_moonshine_gives_what_its_own_encoder_gives(tmp_path):
    import keras_hub

    whole = small_moonshine()
    model = tl.audio_classifier(whole, NAMES, **SPEECH)
    waves = np.stack([glide(bool(i), rate=16_000) for i in range(2)])
    heard = np.asarray(keras_hub.layers.MoonshineAudioConverter()(waves))
    tokens = np.ones((2, 1), "int32")
    wanted = whole(
        {
            "encoder_input_values": heard,
            "encoder_padding_mask": np.ones(waves.shape, bool),
            "decoder_token_ids": tokens,
            "decoder_padding_mask": tokens == 1,
        }
    )["encoder_sequence_output"]
    np.testing.assert_allclose(model.backbone(heard), wanted, atol=1e-5)
    assert tl.freeze(model, unfreeze_from="encoder_block_1") is model
    assert [block.trainable for block in model.backbone.layers[-3:]] == [0, 1, 1]
    model.save(tmp_path / "speech.keras")
    again = tl.load(tmp_path / "speech.keras")
    np.testing.assert_allclose(
        again.predict(waves, verbose=0), model.predict(waves, verbose=0), atol=1e-6
    )
    whole.save_to_preset(tmp_path / "moonshine")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        # KerasHub's blocks fail in any other precision than float32.
        other = tl.audio_classifier(tmp_path / "moonshine", NAMES, **SPEECH)
        np.testing.assert_allclose(other.backbone(heard), wanted, atol=1e-5)
        with pytest.raises(ValueError, match="float32 alone.*mixed_bfloat16"):
            tl.audio_classifier(small_moonshine(), NAMES, **SPEECH)
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match="hears 0.1 to 64 seconds"):
        tl.audio_classifier(whole, NAMES, seconds=0.06)
    assert {"moonshine_tiny_en", "whisper_tiny_en"} <= set(tl.list_backbones())


@pytest.mark.slow
def test_moonshine_learns_on_cached_features_and_is_exported(tmp_path):
    pytest.importorskip("onnx"), pytest.importorskip("tf2onnx")
    waves = [glide(bool(i % 2), seed=i, rate=16_000) for i in range(16)]
    data = tl.from_arrays(waves, NAMES * 8, **SPEECH, test_split=0, batch_size=8)
    model = tl.audio_classifier(small_moonshine(), NAMES, **SPEECH)
    history = tl.fine_tune(
        model,
        data.train,
        data.val,
        head_epochs=1,
        epochs=1,
        unfreeze_from="encoder_block_1",
        cache="memory",
        verbose=0,
    )
    assert np.isfinite(history.history["loss"]).all()
    for name in ("speech.tflite", "speech.onnx"):
        report = tl.export(model, tmp_path / name, data=data.val)
        assert report.difference < 1e-5 and report.agreement == 1
    with pytest.raises(ValueError, match="no LogMelSpectrogram.*backbone of pictures"):
        tl.explain(model, waves[:1])


# Augmentation.


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_change_sounds_the_same_way_each_time(preset):
    waves = np.stack([glide(True, seed=i) for i in range(4)])
    augment = resolve_augment(preset, seed=3, domain=Sounds(RATE, 0.25).augmentations)
    new, _ = augment(waves, np.arange(4), 5)
    again, _ = augment(waves, np.arange(4), 5)
    other, _ = augment(waves, np.arange(4), 6)
    assert new.shape == waves.shape and np.isfinite(new).all()
    np.testing.assert_array_equal(new, again)
    assert np.abs(new - waves).max() > 0.1 and np.abs(new - other).max() > 0.1
    assert str(augment).startswith(f"{preset}: random windows, shift")


def test_windows_are_drawn_out_of_long_sounds_in_training_alone():
    waves = [np.arange(1, 4_001) / 4_000, np.ones(600)]
    data = tl.from_arrays(waves, ["a", "b"], **WINDOW, **WHOLE)
    its_input, examples = data.problem.input, examples_of(data.train)
    wide = next(iter(its_input.to_augment(examples).dataset(2)))[0].numpy()
    assert wide.shape == (2, 4_000) and np.isnan(wide[1]).sum() == 3_000
    (window,) = its_input.augmentations.first
    starts = set()
    for batch in range(4):
        augment = resolve_augment(
            lambda x: x, seed=batch, domain=its_input.augmentations
        )
        new = augment(wide, np.zeros(2), batch)[0].numpy()
        np.testing.assert_allclose(np.diff(new[0]), 1 / 4_000, atol=1e-6)
        assert new[1].sum() == 600
        starts.add(float(new[0, 0]))
    assert len(starts) == 4
    with pytest.raises(ValueError, match="augmentation.*mixup"):
        resolve_augment("mixup", domain=its_input.augmentations)
    with pytest.raises(ValueError, match="Step 1 of `augment`.*sounds of the shape"):
        # The drawn windows are the first step, though not the user's.
        cut = resolve_augment(lambda x: x[:, 9:], domain=its_input.augmentations)
        cut(wide, np.zeros(2), 0)
    with pytest.raises(ValueError, match="a function of sounds"):
        resolve_augment(3, domain=its_input.augmentations)


# A model through all verbs.


def test_it_learns_and_its_record_and_card_say_what_it_is(trained, data):
    model, history, _ = trained
    assert [phase.name for phase in history.phases] == ["head", "fine-tune"]
    report = tl.evaluate(model, data.test, verbose=0)
    assert report.accuracy > 0.8
    (run,) = model.record.runs
    assert run.train["kind"] == "sounds" and run.train["sample_rate"] == RATE
    card = str(tl.model_card(model, report))
    assert "each sound one of 2 classes" in card and "0.25 s, 4 kHz" in card
    assert "predict" in card and "hello.wav" in card


def test_files_and_arrays_get_the_same_answers_whole_or_in_windows(trained, folder):
    model, *_ = trained
    wave = glide(True, seed=77)
    paths = [write(folder.parent / f"one.{x}", wave) for x in ("wav", "flac")]
    answers = [*model.classify(paths), *model.classify([wave, wave[:900]])]
    assert [answer.label for answer in answers] == ["up"] * 4
    near = [answer.probability for answer in answers[:3]]
    assert near == pytest.approx([near[0]] * 3, abs=1e-4)
    # Three windows that cover all of it.
    long = np.concatenate([wave, glide(False, seed=78), wave[:600]])
    starts = (0, 800, 1_600)
    parts = model.predict(np.stack([long[s : s + 1_000] for s in starts]), verbose=0)
    whole, short = model.classify([long, wave])
    assert whole.probabilities["up"] == pytest.approx(parts[:, 1].mean(), rel=1e-5)
    assert short.probability == pytest.approx(near[0], abs=1e-4)
    heard = list(model.classify_stream(long, hop=0.2))
    assert [each.start for each in heard] == pytest.approx([0, 0.2, 0.4])
    assert heard[-1].end == pytest.approx(0.65)
    assert heard[1].said.probabilities["up"] == pytest.approx(parts[1, 1], rel=1e-4)
    file = write(folder.parent / "long.wav", long, subtype="FLOAT")
    assert list(model.classify_stream(file, hop=0.2)) == heard
    with pytest.raises(ValueError, match="`hop` must be at most 0.25"):
        model.classify_stream(long, hop=1)
    with pytest.raises(tl.UnsupportedError, match="classify_stream.*pictures"):
        tl.image_classifier("glyphnet", 2).classify_stream("a.wav")


def test_an_evaluation_averages_windows(trained):
    model, *_ = trained
    waves = [np.concatenate([glide(x, seed=i)] * 2) for i, x in enumerate((0, 1, 0, 1))]
    waves.append(glide(True, seed=9))
    names = [*NAMES, *NAMES, "up"]
    data = tl.from_arrays(waves, names, class_names=NAMES, **WINDOW, **WHOLE)
    report = tl.evaluate(model, data.train, verbose=0)
    said = [answer.probabilities["up"] for answer in model.classify(waves)]
    right = [p if name == "up" else 1 - p for p, name in zip(said, names, strict=True)]
    np.testing.assert_allclose(np.exp(-report.losses), right, rtol=1e-4)


def test_the_command_line_reads_files(trained, folder, tmp_path, capsys):
    *_, path = trained
    good = write(tmp_path / "good.wav", glide(False, seed=5))
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    assert run_predict([str(path), str(good), str(tmp_path / "bad.wav")]) == 1
    printed = capsys.readouterr()
    assert printed.out.split("\t")[1] == "down" and "bad.wav" in printed.err


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_answers(trained, tmp_path):
    model, _, path = trained
    wave = write(tmp_path / "hello.flac", glide(True, seed=6))
    script = (
        "import json, tlkeras as tl\n"
        f"(said,) = tl.load({str(path)!r}).classify({str(wave)!r})\n"
        "print(json.dumps(said.probabilities))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert said == pytest.approx(model.classify(str(wave))[0].probabilities, rel=1e-5)


@pytest.mark.parametrize("name", ["glides", "glides.tflite", "glides.onnx"])
def test_exports_take_waves(trained, data, tmp_path, name):
    model, *_ = trained
    if name.endswith(".onnx"):
        pytest.importorskip("onnx"), pytest.importorskip("tf2onnx")
    report = tl.export(model, tmp_path / name, data=data.test)
    assert report.difference < 1e-5 and report.agreement == 1
    assert "(None, 1000)" in str(report.inputs) or "(1, 1000)" in str(report.inputs)
    if name == "glides":
        check_files_are_answered(model, tmp_path / name)


def check_files_are_answered(model, folder):
    """Checks a SavedModel on WAV files of several lengths, channels and rates."""
    import tensorflow as tf

    served = tf.saved_model.load(str(folder)).signatures["encoded"]
    wave = glide(True, seed=8)
    paths = [
        write(folder.parent / "whole.wav", wave),
        write(folder.parent / "short.wav", wave[:701]),
        write(folder.parent / "stereo.wav", np.stack([wave, 0.2 * wave], axis=1)),
    ]
    files = [path.read_bytes() for path in paths]
    answers = served(wav_bytes=tf.constant(files))["probabilities"].numpy()
    for answer, said in zip(answers, model.classify(paths), strict=True):
        assert answer == pytest.approx([*said.probabilities.values()], abs=1e-4)
    long = write(folder.parent / "long.wav", np.concatenate([-wave[:300], wave, wave]))
    middle = np.concatenate([-wave[:300], wave, wave])[650:1650]
    (answer,) = served(wav_bytes=tf.constant([long.read_bytes()]))["probabilities"]
    (said,) = model.classify([middle])
    assert answer.numpy() == pytest.approx([*said.probabilities.values()], abs=1e-3)
    other = write(folder.parent / "other.wav", wave, 8_000).read_bytes()
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have 4000 samples"):
        served(wav_bytes=tf.constant([other]))


def test_evidence_is_over_time_and_pitch(trained):
    model, *_ = trained
    waves = np.stack([glide(True, seed=3), np.zeros(1_000)])
    waves[1, 600:] = waves[0, 600:]
    found = tl.explain(model, waves, target="up")
    assert found[0].map.shape == found[0].spectrogram.shape == (16, 26)
    assert len(found[0].over_time) == 26 and "<audio" in found._repr_html_()
    assert len(found.plot().child_axes) == 2
    (path,) = tl.explain(model, waves[1:], target="up", method="integrated_gradients")
    # Nothing is to be heard, and nothing speaks for or against, in the first half.
    assert not path.map[:, :13].any() and path.map[:, 17:].any()
    assert path.map.sum() == pytest.approx(path.logit - path.baseline, abs=0.05)
    with pytest.raises(ValueError, match="`baseline` of sounds"):
        tl.explain(model, waves, baseline=0)


@pytest.mark.slow
@pytest.mark.parametrize("views", [None, 2])
def test_augmented_training_and_several_heads(views):
    waves, names = glides(16, seconds=0.4)
    loud = [float(np.abs(wave).max()) for wave in waves]
    labels = {"kind": names, "peak": loud}
    data = tl.from_arrays(waves, labels, **WINDOW, test_split=0, batch_size=8)
    heads = {"kind": tl.Classes(NAMES), "peak": tl.Numbers(1, weight=0.1)}
    model = small_classifier(heads)
    recipe = tl.Recipe(augment="strong", cached_views=views)
    history = tl.fit_head(
        model, data.train, data.val, epochs=1, recipe=recipe, cache="memory", verbose=0
    )
    assert np.isfinite(history.history["loss"][0])
    (answer,) = model.classify(waves[0])
    assert answer["kind"].label in NAMES and isinstance(answer["peak"], float)


def test_data_that_a_model_does_not_take_are_refused(trained, folder):
    model, *_ = trained
    other = tl.audio_folder(folder, sample_rate=8_000, seconds=0.125)
    with pytest.raises(ValueError, match="0.125 s at 8 kHz; the model takes 0.25 s"):
        tl.fine_tune(model, other, epochs=1, verbose=0)
    with pytest.raises(ValueError, match="Cannot read 1 of 1 sound files.*not exist"):
        model.classify("nowhere.wav")
    for ask in (model.classify, model.classify_stream):
        with pytest.raises(ValueError, match="not finite"):
            ask([np.full(1_000, np.inf)])
        with pytest.warns(UserWarning, match="Divide 16-bit samples"):
            ask([np.full(1_000, 9_000.0)])
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        model.classify_stream(np.zeros(0))
    with pytest.raises(ValueError, match="`relative` must be.*Received: relative='no'"):
        tl.audio_classifier("glyphnet", 2, relative="no")
    layer = LogMelSpectrogram(RATE, name="spectrogram")
    with pytest.raises(ValueError, match="'spectrogram' needs waves of one length"):
        layer(keras.Input((None,)))
    with pytest.raises(ValueError, match="one recording.*list of 2 path"):
        model.classify_stream(["a.wav", "b.wav"])


@pytest.mark.slow
def test_backbones_of_pictures_are_candidates_for_sounds(data):
    ranking = tl.rank_backbones(data, ["glyphnet"], cache=False, verbose=0)
    assert ranking.best == "glyphnet"
    with pytest.raises(ValueError, match="'minilm' is for texts; the data are sounds"):
        tl.rank_backbones(data, ["minilm"])
