"""A run of ``radiodino-bench``, step by step: load → export → peers → measure → judge → rows."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
from PIL import Image

from radiodino.export.int8.calibration_set import read_calibration
from radiodino.runtime.backends import tensorrt
from radiodino.runtime.extras import require
from radiodino.runtime.machine import has_hardware_bf16, this_machine, usable_cores
from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.preprocessing import Preprocessor
from radiodino.runtime.variants import get_variant
from radiodino.train.data.splits import SplitSettings

from . import isa, matrix_peak, noise
from .contender import ORIGINAL, OURS, Contender
from .engine_files import engine_of
from .exports import FILES, Calibration, ExportedFile, calibration_batches, exported, synthetic_images
from .judge import JudgeSet, judged
from .judge_images import heads_set, neighbours_set, synthetic_set
from .lineup import Entry, Lineup, default_engines, lineup
from .matrix_peak import arithmetic_of, peak_key, peaks, products
from .peer_materials import Materials
from .peers import made_peers
from .report import Report
from .rounds import Contest, FileRuns, Measured, Pace
from .row import FromFile, Quality, Row, WorkNote
from .settings import BenchSettings
from .subject import Subject, check_weights, load_subject
from .summary import latency, ratio, spread_of
from .work import Work
from .worker_process import save_batch

Progress = Callable[[str], None]
Finished = Callable[[Report, WorkNote], None]
_SIDE = 1024


def run(
    settings: BenchSettings,
    progress: Progress = lambda _step: None,
    finished: Finished = lambda _report, _note: None,
) -> Report:
    """Measure what `settings` say.

    Args:
        settings: see there.
        progress: told what is being done.
        finished: told of each work when it is done, with the report so far.

    Raises:
        RadioDinoError: what an export, an engine or an image says against it.
    """
    settings.check()
    check_weights(settings.weights, settings.variants, settings.tasks)
    taking_part = lineup(settings.engines or default_engines(), settings.precisions, settings.isa)
    report = Report(
        machine=this_machine(),
        isa=settings.isa,
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        versions=_versions(),
        rounds=settings.rounds,
        works=(),
        rows=(),
    )
    for variant in settings.variants:
        for task in settings.tasks:
            for size in settings.image_sizes_of(get_variant(variant)):
                with tempfile.TemporaryDirectory() as name:
                    folder = Path(name)
                    progress(f"{variant}: load weights")
                    subject = load_subject(get_variant(variant), task, settings.weights, size, settings.head, folder)
                    bench = _SubjectBench(settings, taking_part, subject, folder, progress)
                    for note, rows in bench.works():
                        report = replace(report, works=(*report.works, note), rows=(*report.rows, *rows))
                        finished(report, note)
    return report


@dataclass(frozen=True, eq=False)
class _SubjectBench:
    """All works of one network: its files are made once."""

    settings: BenchSettings
    lineup: Lineup
    subject: Subject
    folder: Path
    progress: Progress

    def works(self) -> Iterator[tuple[WorkNote, list[Row]]]:
        asked, size = self.settings, self.subject.original.image_size
        calibration = Calibration(asked.calibration or asked.data, asked.calibration_count)
        files: dict[str, ExportedFile] = {}
        for entry in self.lineup.entries:
            kind = FILES[entry.precision]
            if not entry.is_torch and kind not in files:
                files[kind] = exported(
                    self.subject,
                    kind,
                    calibration,
                    self.folder,
                    lambda step, kind=kind: self._say(f"{kind}: {step}"),  # type: ignore[misc]
                )
        judges = self._judges(size)
        for batch_size in asked.batch_sizes_at(size):
            contenders = [self._contender(entry, files, batch_size) for entry in self.lineup.entries]
            left_out = dict(self.lineup.left_out)
            if asked.peers:
                peers, missing = self._peers(batch_size, size, calibration)
                contenders += peers
                left_out |= missing
            for threads in asked.threads or (usable_cores(),):
                work = Work(
                    variant=self.subject.settings.variant.name,
                    task=self.subject.settings.task,
                    weights=self.subject.weights,
                    image_size=size,
                    batch_size=batch_size,
                    threads=threads,
                )
                yield self._measured(work, contenders, judges, left_out)

    def _say(self, step: str) -> None:
        self.progress(f"{self.subject.settings.variant.name}: {step}")

    def _contender(self, entry: Entry, files: dict[str, ExportedFile], batch_size: int) -> Contender:
        limits = (isa.UNLIMITED[entry.engine],) if self.settings.isa and entry.engine in isa.UNLIMITED else ()
        if entry.is_torch:
            maker = ORIGINAL if _is_reference(entry) else OURS
            return Contender(
                engine=entry.engine, precision=entry.precision, compute=entry.compute, device=entry.device,
                maker=maker, opener="pytorch", file=self.subject.file, outputs=self.subject.outputs,
            )  # fmt: skip
        file = files[FILES[entry.precision]]
        if entry.engine == tensorrt.NAME:
            file = engine_of(file, batch_size, self._say)
        return Contender(
            engine=entry.engine, precision=entry.precision, compute=entry.compute, device=entry.device,
            maker=OURS, opener="runtime", file=file.path, remarks=(*file.remarks, *limits),
        )  # fmt: skip

    def _peers(self, batch_size: int, size: int, calibration: Calibration) -> tuple[list[Contender], dict[str, str]]:
        folder = self.folder / f"peers-{batch_size}"
        folder.mkdir()
        batches, images = calibration_batches(size, calibration)
        bf16 = any(entry.precision != "fp32" for entry in self.lineup.entries) and self._has_bf16()
        peers, missing = made_peers(Materials(self.subject, batch_size, batches, images, folder, bf16), self._say)
        limits = isa.UNLIMITED if self.settings.isa else {}
        marked = [
            replace(peer, remarks=(*peer.remarks, limits[peer.engine])) if peer.engine in limits else peer
            for peer in peers
        ]
        return marked, missing

    def _has_bf16(self) -> bool:
        return has_hardware_bf16() is True and self.settings.isa is None

    def _judges(self, size: int) -> JudgeSet:
        asked, original = self.settings, self.subject.original
        if self.subject.settings.task == "embed":
            if not asked.data:
                return synthetic_set(size)
            preprocess = Preprocessor(Preprocessing(resize=(size, size)))
            count = asked.images if asked.calibration else asked.calibration_count
            return neighbours_set(read_calibration(asked.data, preprocess, count=count), size, asked.images)
        split = SplitSettings(asked.fractions, asked.split_seed, asked.group)
        has_masks = original.segmenter is not None
        found = heads_set(asked.data, asked.masks, size, original.classifier_info, has_masks, split, asked.images)
        return found or synthetic_set(size)

    def _measured(
        self, work: Work, contenders: list[Contender], judges: JudgeSet, left_out: dict[str, str]
    ) -> tuple[WorkNote, list[Row]]:
        asked = self.settings
        limit = isa.limit_of(asked.isa)
        batch = save_batch(self.folder / "batch.npy", _batch(work))
        devices = sorted({one.device for one in contenders})
        needed = {_nominal(one, bf16=self._has_bf16()) for one in contenders}
        probes: list[Contender] = []
        if asked.peaks:
            probes = products(sorted(needed), devices, self.folder, matrix_peak.SIDE, limited=limit is not None)
        pace = Pace(rounds=asked.rounds, seconds=asked.round_seconds, warm_seconds=asked.warm_seconds)
        environment = limit.environment() if limit else {}
        with Contest([*contenders, *probes], work.threads, batch, environment, self._say) as contest:
            measured = contest.measure(pace)
            threshold = self.subject.original.segmenter_info
            contenders = [one for one in contenders if one not in contest.failed]
            quality = judged(
                contest,
                contenders,
                judges,
                None if threshold is None else threshold.threshold,
                work.image_size,
                self.folder,
                self._say,
            )
            by_file: dict[Contender, list[FileRuns]] = {}
            path, words = self._image(work, devices)
            if path is not None:
                readers = [one for one in contenders if not one.is_peer]
                by_file = contest.measure_file(readers, path, pace)
            others = contest.noise or noise.Noise(0.0, 0.0, 0.0)
        contenders = [one for one in contenders if one not in contest.failed]
        left_out = left_out | {one.name: f"it failed: {reason}" for one, reason in contest.failed.items()}
        fastest = peaks(measured)
        references = {one.device: one for one in contenders if one.maker == ORIGINAL}
        rows = [
            self._row(work, one, measured[one], measured[references[one.device]], fastest, quality[one])
            for one in contenders
        ]
        rows = [
            replace(row, from_file=from_file(by_file[one], by_file[references[one.device]])) if one in by_file else row
            for one, row in zip(contenders, rows, strict=True)
        ]
        spread = spread_of(measured[contenders[0]].medians)
        note = WorkNote(
            work=work,
            peaks=fastest,
            others=others.others,
            stolen=others.stolen,
            noise=noise.remark(others, spread),
            left_out=left_out,
            images=judges.origin,
            file=words,
        )
        return note, rows

    def _row(
        self,
        work: Work,
        one: Contender,
        found: Measured,
        reference: Measured,
        fastest: dict[str, float],
        quality: Quality,
    ) -> Row:
        timed = latency([each.seconds for each in found.rounds])
        rate = 1000 * work.batch_size / timed.p50
        gmacs = self.subject.macs / 1e9
        peak = fastest.get(peak_key(one.device, arithmetic_of(one.precision, found.opened.compute)))
        if self.settings.isa and one.engine in isa.UNLIMITED:
            peak = None  # that of the limited engines
        memory = [each.peak_mib for each in found.rounds if each.peak_mib is not None]
        return Row(
            work=work,
            name=one.name,
            engine=one.engine,
            version=found.opened.version,
            precision=one.precision,
            compute=found.opened.compute,
            device=one.device,
            maker=one.maker,
            is_peer=one.is_peer,
            is_original=one.maker == ORIGINAL,
            latency=timed,
            images_per_second=rate,
            ratio=ratio(reference.medians, found.medians),
            import_seconds=found.opened.import_seconds,
            load_seconds=found.opened.load_seconds,
            first_seconds=found.opened.first_seconds,
            peak_mib=max(memory, default=None),
            file_bytes=self._bytes(one),
            parameters=self.subject.parameters,
            gmacs=gmacs,
            gflops=2 * gmacs * rate,
            peak_share=None if peak is None else 2 * gmacs * rate / peak,
            quality=quality,
            from_file=None,
            remarks=one.remarks,
            stable=found.stable,
            warm_seconds=found.warm,
            seconds=tuple(each.seconds for each in found.rounds),
            cpu_seconds=tuple(each.run_cpu_seconds for each in found.rounds),
        )

    def _image(self, work: Work, devices: Sequence[str]) -> tuple[Path | None, str | None]:
        """The image to begin from, and in words what it is; None where that is not measured."""
        asked = self.settings
        if not (asked.end_to_end or asked.image) or work.batch_size != 1 or "cuda" in devices:
            return None, None
        require("dev", "torchvision")
        if asked.image:
            return Path(asked.image), Path(asked.image).name
        path = self.folder / "image.jpg"
        synthetic_images(1)[0].convert("L").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(path, quality=90)
        return path, f"a grey JPEG of {_SIDE} × {_SIDE}, made up"

    def _bytes(self, one: Contender) -> int:
        if one.opener == "pytorch":
            return self.subject.file_bytes
        if one.is_peer:  # some write their weights beside the graph
            return sum(path.stat().st_size for path in one.file.parent.iterdir())
        return one.file.stat().st_size


def from_file(rounds: Sequence[FileRuns], reference: Sequence[FileRuns]) -> FromFile:
    """What came of the rounds of one contender beside those of the original."""
    seconds, others = ([[run.total for run in one] for one in each] for each in (rounds, reference))
    runs = [run for one in rounds for run in one]
    decode, resize, inference = (
        float(np.median([getattr(run, part) / run.total for run in runs])) for part in ("decode", "resize", "inference")
    )
    return FromFile(
        latency=latency(seconds),
        ratio=ratio([float(np.median(one)) for one in others], [float(np.median(one)) for one in seconds]),
        decode=decode,
        resize=resize,
        inference=inference,
        seconds=tuple(tuple(one) for one in seconds),
    )


def _is_reference(entry: Entry) -> bool:
    return entry.precision == "fp32" and entry.engine in ("pytorch", "pytorch-cuda")


def _nominal(one: Contender, *, bf16: bool) -> str:
    """The arithmetic whose peak a contender's speed will be a share of, before it says itself what it computes in."""
    if one.compute is None and one.precision == "fp16":
        return "bf16" if bf16 and one.engine == "openvino" else ("fp16" if one.device == "cuda" else "fp32")
    return arithmetic_of(one.precision, one.compute or one.precision)


def _batch(work: Work) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    preprocess = Preprocessor(Preprocessing(resize=(work.image_size, work.image_size)))
    return np.stack([preprocess(image) for image in synthetic_images(work.batch_size)])


def _versions() -> dict[str, str]:
    found = {}
    for name in ("radiodino", "torch", "timm", "onnxruntime", "onnxruntime-gpu", "openvino", "nncf", "optimum"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
